# shellcheck shell=bash
# What the scripts of this folder share. They source it after "set -euo pipefail".

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root
cd "$root" || exit 1

# scratch is a folder that goes away with the script, and with it the processes
# that "background" started.
scratch=$(mktemp -d)
started=()
finish() {
	local pid
	for pid in "${started[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$scratch"
}
trap finish EXIT

# background LOG COMMAND…: until the script ends.
background() {
	local log=$1
	shift
	"$@" </dev/null >"$log" 2>&1 &
	started+=($!)
}

# free_port prints a port on which nobody listens, from below the range of
# outgoing connections.
free_port() {
	local p
	while p=$((30000 + RANDOM % 2700)) && (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; do :; done
	echo "$p"
}

# wait_for URL LOG: until it answers with anything, for a minute at most.
wait_for() {
	local n
	for ((n = 300; n > 0; n--)); do
		! curl -s -o /dev/null --max-time 2 "$1" || return 0
		sleep 0.2
	done
	echo "nothing answers at $1; the end of the log:" >&2
	tail -n 40 "$2" >&2
	return 1
}

# npm_tools installs the contract tools of .ci/package-lock.json, once.
npm_tools() {
	command -v java >/dev/null || deploy/dev/services install default-jre-headless
	command -v npm >/dev/null || deploy/dev/services install npm
	command -v curl >/dev/null || deploy/dev/services install curl
	[ .ci/node_modules/.package-lock.json -nt .ci/package-lock.json ] ||
		npm --prefix .ci ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

# program builds bin/holdfast and prints its path.
program() {
	make -s build >&2 || return
	echo "$root/bin/holdfast"
}
