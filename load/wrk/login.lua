-- Each customer in turn logs in.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local requests, at = {}, 0

function init()
  common.start()
  for n, customer in ipairs(common.customers(common.threads())) do
    local body = '{"email":"' .. customer.email .. '","password":"load-test-password"}'
    requests[n] = wrk.format("POST", "/auth/login", { ["Content-Type"] = "application/json" }, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
