# shellcheck shell=bash
# Binaries as they are shipped, for images and for whatever measures or loads them. Sourced after common.sh.

HOST_TRIPLE=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p')
# Static, so that an image holds nothing else; and with packed relocations, which an idle process need not keep in memory.
# The Dockerfiles have the same flags.
STATIC_FLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"

# release_dir: where static_build puts them, of the workspace.
release_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$ROOT/target}/$HOST_TRIPLE/release"; }

# static_build WHAT LOG ARGUMENT...: cargo build with these arguments. --target keeps the flags off the proc macros, which
# cannot be static.
static_build() {
  local what=$1 log=$2
  shift 2
  RUSTFLAGS="${RUSTFLAGS:-} $STATIC_FLAGS" quietly "building $what" "$log" cargo build --release --locked --target "$HOST_TRIPLE" "$@"
}
