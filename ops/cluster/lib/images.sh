# shellcheck shell=bash
# Container images without a registry: archives are imported into every node's containerd.

PAUSE_IMAGE=localhost/pause:3.10
PAUSE_TAR=$CACHE_DIR/pause.tar

# make_pause_image: the image that holds a pod's namespaces: catatonit, an init that reaps and otherwise sleeps.
make_pause_image() {
  local work layer config architecture
  [ ! -s "$PAUSE_TAR" ] || return 0
  case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac
  mkdir -p "$CACHE_DIR"
  work=$(mktemp -d)
  mkdir "$work/root"
  cp "$(command -v catatonit)" "$work/root/pause"
  tar -C "$work/root" --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" pause
  layer=$(sha256sum <"$work/layer.tar" | cut -d ' ' -f 1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause","-P"],"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"catatonit"}]}' \
    "$architecture" "$layer" >"$work/config"
  config=$(sha256sum <"$work/config" | cut -d ' ' -f 1)
  mv "$work/config" "$work/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config" "$PAUSE_IMAGE" >"$work/manifest.json"
  tar -C "$work" -cf "$PAUSE_TAR.new" manifest.json "$config.json" layer.tar
  mv "$PAUSE_TAR.new" "$PAUSE_TAR"
  rm -rf "$work"
}

check_archive() {
  [ -r "$1" ] || die "no such image archive: $1"
  [ -n "$(tar -tf "$1" 2>/dev/null | grep -xE 'manifest.json|index.json' || true)" ] ||
    die "not an image archive: $1" "Make one with 'buildah push IMAGE docker-archive:FILE:NAME' or 'docker save IMAGE -o FILE'."
}

# import_image TAR SHA: into the current node. What an archive became is remembered by its sum, and skipped only while the
# node still has that very image under that name.
import_image() {
  local record=$NODE_DIR/images/$2 have output
  mkdir -p "$NODE_DIR/images"
  if [ -s "$record" ]; then
    have=$(ctr --address "$SOCKET" --namespace k8s.io images ls | awk 'NR > 1 { print $1, $3 }')
    if ! grep -vxFq "$have" "$record"; then return 0; fi
  fi
  output=$(ctr --address "$SOCKET" --namespace k8s.io images import "$1" 2>&1) || {
    printf '%s\n' "$output" | tail -n 3 >&2
    die "the image archive $1 could not be imported into $NODE"
  }
  printf '%s\n' "$output" | sed -n 's/^unpacking \([^ ]*\) (\(sha256:[0-9a-f]*\)).*/\1 \2/p' >"$record"
  IMPORTED=yes
}

# load_images NODES TAR...
load_images() {
  local count=$1 i tar sum
  shift
  for tar in "$@"; do
    sum=$(sha256sum <"$tar" | cut -d ' ' -f 1)
    IMPORTED=no
    i=1
    while [ "$i" -le "$count" ]; do
      use_node "$i"
      import_image "$tar" "$sum"
      i=$((i + 1))
    done
    if [ "$IMPORTED" = yes ]; then step "loaded $(basename "$tar")"; else step "$(basename "$tar") is there already"; fi
  done
}
