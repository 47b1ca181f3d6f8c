"""Redis: the live window, the ledgers and the API keys.

- `client` connects; `keys` has all keys and lifetimes; `scripts` runs the Lua scripts
- `sink` writes the live window; `reader` and `live_reader` read it for the API, `window` for a recount;
  `sizes` says what is too much to read
- `ledger` keeps the ledgers, `bundles` the bundles, and `holds` stops inserts during a rebuild
- `key_store` keeps API keys
"""
