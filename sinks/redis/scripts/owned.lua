-- Put before the scripts that change a ledger: what they answer a caller who may not, and nothing if they may.
local function refused(epoch, claimed)
  if not epoch then return {'GONE', ''} end
  if tonumber(epoch) < tonumber(claimed) then return {'GONE', epoch} end
  if epoch ~= claimed then return {'FENCED', epoch} end
end

