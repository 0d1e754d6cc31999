# shellcheck shell=bash
# The Debian packages the cluster needs; only what is missing is installed.

find_cni_dir() {
  local dir
  for dir in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    if [ -x "$dir/ptp" ] && [ -x "$dir/host-local" ] && [ -x "$dir/portmap" ]; then printf '%s\n' "$dir"; return 0; fi
  done
  return 1
}

# By command, not by package: Docker's own packages bring containerd and runc under other names.
missing_packages() {
  local pair
  for pair in containerd:containerd ctr:containerd runc:runc iptables:iptables conntrack:conntrack socat:socat ip:iproute2 \
    buildah:buildah catatonit:catatonit openssl:openssl nsenter:util-linux; do
    command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair#*:}"
  done
  find_cni_dir >/dev/null || echo containernetworking-plugins
}

ensure_packages() {
  local missing log=$STATE/log/packages.log
  missing=$(missing_packages | sort -u | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "these are missing, and this is not a Debian that could install them: $missing"
  step "installing Debian packages: $missing"
  mkdir -p "$(dirname "$log")"
  # shellcheck disable=SC2086 # a list
  if apt_install "$log" $missing; then return 0; fi
  tail -n 5 "$log" >&2
  die "Debian packages could not be installed: $missing" "The log: $log"
}
