-- Which pod a request goes to, in each worker of nginx: the ready ones in turn. The script `nginx` writes them to files,
-- one an upstream, and workers look every second. ingress-nginx does it in this way too, so nginx never reloads when
-- pods change; a reload would close connections that a client is just sending a request on.
local balancer = require "ngx.balancer"

local LOOK_SECONDS = 1
-- Further pods for one that cannot be reached; proxy_next_upstream_tries limits them.
local MORE_TRIES = 1

local directory
local pods, turn = {}, {}

local function read(upstream)
  local file = io.open(directory .. "/" .. upstream)
  if not file then return end
  local list = {}
  for line in file:lines() do
    local host, port = line:match("^(.*):(%d+)$")
    if host then list[#list + 1] = { host = host, port = tonumber(port) } end
  end
  file:close()
  pods[upstream] = list
end

local function look()
  for upstream in pairs(pods) do read(upstream) end
end

local M = {}

-- In each worker at its start.
function M.start(dir, ...)
  directory = dir
  for _, upstream in ipairs({ ... }) do
    pods[upstream], turn[upstream] = {}, math.random(0, 1000)
  end
  look()
  local ok, problem = ngx.timer.every(LOOK_SECONDS, look)
  if not ok then ngx.log(ngx.ERR, "pods are not followed: ", problem) end
end

-- Before an upstream is chosen.
function M.demand(upstream)
  if #pods[upstream] == 0 then return ngx.exit(503) end
end

function M.choose(upstream)
  local list = pods[upstream]
  if #list == 0 then return end
  turn[upstream] = turn[upstream] % #list + 1
  local pod = list[turn[upstream]]
  balancer.set_more_tries(MORE_TRIES)
  local ok, problem = balancer.set_current_peer(pod.host, pod.port)
  if not ok then ngx.log(ngx.ERR, "cannot choose ", pod.host, ": ", problem) end
end

return M
