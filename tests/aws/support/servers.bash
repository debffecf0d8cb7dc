# shellcheck shell=bash
# The two servers that the tests need: the aws command kept loaded, and the fault server. Needs $support and $test_python.

# start_servers FOLDER: makes tools/aws, port and servers.pid in there
start_servers() {
  local folder=$1 tries
  # The one tool that comes from the tests' Python environment: awscli itself, kept loaded (aws_server.py).
  mkdir -p "$folder/tools"
  cat >"$folder/tools/aws" <<END
#!/bin/sh
AWS_SERVER_SOCKET=$folder/aws.sock exec $test_python -I -S $support/aws_client.py "\$@"
END
  chmod +x "$folder/tools/aws"
  "$test_python" "$support/aws_server.py" "$folder/aws.sock" >"$folder/aws.log" 2>&1 3>&- &
  echo $! >"$folder/servers.pid"
  "$test_python" "$support/fault_server.py" 0 >"$folder/port" 2>"$folder/fault.log" 3>&- &
  echo $! >>"$folder/servers.pid"
  for ((tries = 0; tries < 3000; tries++)); do
    [ -S "$folder/aws.sock" ] && [ -s "$folder/port" ] &&
      curl -sf -o /dev/null -X POST "http://127.0.0.1:$(<"$folder/port")/_fault/reset" && return
    sleep 0.1
  done
  cat "$folder"/*.log >&2
  return 1
}
stop_servers() {
  local pid
  [ -f "$1/servers.pid" ] || return 0
  while read -r pid; do kill "$pid" 2>/dev/null || :; done <"$1/servers.pid"
}
