-- Return {{minute, {field, n, ...}}, ...} of the hashes of minutes from the first; nil if there is none. Most
-- partitions have nothing of a video, and those of other topics nothing at all: one call tells.
local function cells_of(keys, first)
  if redis.call('EXISTS', unpack(keys)) == 0 then return nil end
  local cells = {}
  for i, key in ipairs(keys) do
    local cell = redis.call('HGETALL', key)
    if #cell > 0 then cells[#cells + 1] = {first + i - 1, cell} end
  end
  return cells
end
