-- What every scenario has: who asks, fresh keys, and the figures as one line of JSON. From the environment: LOAD_CUSTOMERS, a file with
-- a line `email <tab> id <tab> token` a customer; LOAD_RUN, part of every key; LOAD_PRODUCTS, how many there are.
local common = {}

local threads = 0

-- Each thread has its own interpreter: it is told its number.
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function common.start()
  math.randomseed(os.time() * 100 + number)
  common.keys = 0
  common.run = os.getenv("LOAD_RUN")
  common.products = tonumber(os.getenv("LOAD_PRODUCTS"))
end

-- The customers of this thread; the other threads have others.
function common.customers(count_of_threads)
  local own, at = {}, 0
  for line in io.lines(os.getenv("LOAD_CUSTOMERS")) do
    local email, id, token = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)")
    if at % count_of_threads == number then own[#own + 1] = { email = email, id = id, token = token } end
    at = at + 1
  end
  return own
end

function common.threads() return tonumber(os.getenv("LOAD_THREADS")) end

function common.key()
  common.keys = common.keys + 1
  return common.run .. "-" .. number .. "-" .. common.keys
end

function common.sku(n) return string.format("LOAD-%07d", n) end

-- Everything but `status` goes wrong without an answer; `status` counts answers of 400 and more.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'JSON {"requests": %d, "elapsed_us": %d, "bytes": %d, "mean_us": %d, "p50_us": %d, "p90_us": %d, "p99_us": %d, "p999_us": %d, "max_us": %d, '
      .. '"unexpected": %d, "unexpected_status": %d, "failed_connects": %d, "failed_reads": %d, "failed_writes": %d, "timeouts": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency.mean, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end

return common
