# shellcheck shell=bash
# Images of what is measured, two of each, because a rollout needs another. Read after ops/lib/common.sh; WORK is where
# they are made. Sets ARCHIVES, what the nodes need.

ARCHIVES=()
RIVALS_TARGET=${CARGO_TARGET_DIR:-$ROOT/target}/rivals

archive_tool() { python3 "$HERE/driver/images.py" "$@"; }

# our_images FILE: builds them, or takes those in what ops/images printed to FILE. Sets OUR_IMAGE, OUR_OTHER_IMAGE and OUR_OPERATOR_IMAGE.
# shellcheck disable=SC2034 # read by the scripts that source this file
our_images() {
  local lines server operator
  if [ -n "$1" ]; then lines=$(cat "$1"); else lines=$("$ROOT/ops/images"); fi || die "our images are not to be had"
  read -r OUR_IMAGE server <<<"$(printf '%s\n' "$lines" | grep "^$SERVER_IMAGE:")"
  read -r OUR_OPERATOR_IMAGE operator <<<"$(printf '%s\n' "$lines" | grep "^$OPERATOR_IMAGE:")"
  OUR_OTHER_IMAGE=$OUR_IMAGE-variant
  archive_tool variant "$server" "$OUR_OTHER_IMAGE" "$WORK/ours-variant.tar"
  ARCHIVES+=("$server" "$operator" "$WORK/ours-variant.tar")
}

# rival_images NAME: builds it, static, unless that was done: localhost/rival-NAME:a and :b.
rival_images() {
  local name=$1 source=$HERE/rivals/$1 binary
  [ ! -e "$WORK/$name-b.tar" ] || return 0
  step "building $name"
  case $name in
    mcp-go)
      source=$HERE/rivals/mcpgo
      binary=$WORK/mcp-go
      quietly "building mcp-go" "$WORK/mcp-go.log" env CGO_ENABLED=0 go build -C "$source" -trimpath -ldflags='-s -w' -o "$binary" .
      ;;
    rmcp)
      binary=$RIVALS_TARGET/$HOST_TRIPLE/release/rival-rmcp
      CARGO_TARGET_DIR="$RIVALS_TARGET" static_build rmcp "$WORK/rmcp.log" --manifest-path "$source/Cargo.toml"
      ;;
  esac
  archive_tool scratch "$binary" "localhost/rival-$name:a" "$WORK/$name-a.tar"
  archive_tool variant "$WORK/$name-a.tar" "localhost/rival-$name:b" "$WORK/$name-b.tar"
  ARCHIVES+=("$WORK/$name-a.tar" "$WORK/$name-b.tar")
}
