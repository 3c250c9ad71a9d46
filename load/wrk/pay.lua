-- Pays orders that were placed before, each once: LOAD_ORDERS is a file with a line `order <tab> token` each. When a thread has none left
-- it stops.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local own, at = {}, 0

function init()
  common.start()
  local n = 0
  for line in io.lines(os.getenv("LOAD_ORDERS")) do
    if n % common.threads() == number then own[#own + 1] = line end
    n = n + 1
  end
end

function request()
  at = at + 1
  if at > #own then
    wrk.thread:stop()
    at = #own
  end
  local order, token = own[at]:match("^([^\t]*)\t(.*)$")
  local body = '{"order_id":"' .. order .. '","method":{"type":"card","token":"tok_ok"}}'
  return wrk.format("POST", "/payments",
    { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json", ["Idempotency-Key"] = common.key() }, body)
end
