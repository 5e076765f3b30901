-- wrk: PATCH of a small node. Arguments: "distinct" (each request another node) or "hot" (all the same), and a name
-- for the run, so that two runs do not meet.
local counter = 0

function setup(thread)
   thread:set("id", counter)
   counter = counter + 1
end

function init(args)
   hot = args[1] == "hot"
   run = args[2]
   sent = 0
   headers = { ["Content-Type"] = "application/json" }
end

function request()
   sent = sent + 1
   local soul = hot and ("bench%2F" .. run) or string.format("bench%%2F%s%%2F%d-%d", run, id, sent)
   local body = string.format('{"name":"a node of the benchmark","count":%d}', sent)
   return wrk.format("PATCH", "/api/v1/nodes/" .. soul, headers, body)
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
      e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
