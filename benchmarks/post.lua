-- What wrk sends and prints. The variables are set by load.py.
local file = assert(io.open(os.getenv("BENCH_BODY_FILE"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\n]+): ([^\n]*)") do
  wrk.headers[name] = value
end

local paths = {}
for path in os.getenv("BENCH_PATHS"):gmatch("[^\n]+") do
  paths[#paths + 1] = path
end

-- Without a function `request` wrk makes its request once and runs no Lua while it measures.
if #paths > 1 then
  local requests, turn = {}, 0
  function init(_)
    for index, path in ipairs(paths) do
      requests[index] = wrk.format(nil, path)
    end
  end
  function request()
    turn = turn % #requests + 1
    return requests[turn]
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  local parts = {
    '"requests": ' .. summary.requests,
    '"duration_us": ' .. summary.duration,
    '"received_bytes": ' .. summary.bytes,
    '"connect_errors": ' .. errors.connect,
    '"read_errors": ' .. errors.read,
    '"write_errors": ' .. errors.write,
    '"timeouts": ' .. errors.timeout,
    '"bad_statuses": ' .. errors.status,
    '"p50_us": ' .. latency:percentile(50),
    '"p90_us": ' .. latency:percentile(90),
    '"p99_us": ' .. latency:percentile(99),
    '"max_us": ' .. latency.max,
  }
  io.write("BENCH {" .. table.concat(parts, ", ") .. "}\n")
end
