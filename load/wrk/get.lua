-- Reads: LOAD_PATH with `%sku`, `%number`, `%model`, `%category` and `%series` replaced by one of them, chosen evenly.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local choose

-- The model of a product: five letters that no other has, as load/generate makes them.
local function model(n)
  local rest, letters = (n * 7919077 + 12345) % 26 ^ 5, {}
  for place = 5, 1, -1 do
    letters[place] = string.char(97 + rest % 26)
    rest = math.floor(rest / 26)
  end
  return table.concat(letters)
end

function init()
  common.start()
  local path = os.getenv("LOAD_PATH")
  local before, name, after = path:match("^(.*)%%(%a+)(.*)$")
  local rest = "HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n\r\n"
  local get = "GET " .. (before or path)
  local tail = (after or "") .. " " .. rest
  if name == "sku" then
    choose = function() return get .. common.sku(math.random(common.products)) .. tail end
  elseif name == "number" then
    choose = function() return get .. string.format("%07d", math.random(common.products)) .. tail end
  elseif name == "model" then
    choose = function() return get .. model(math.random(common.products)) .. tail end
  elseif name == "category" then
    choose = function() return get .. string.format("shelf-%02d", math.random(0, 49)) .. tail end
  elseif name == "series" then
    choose = function() return get .. string.format("s%03d", math.random(0, 999)) .. tail end
  else
    local only = get .. tail
    choose = function() return only end
  end
end

function request() return choose() end
