#!/usr/bin/env bash
# Builds the container image: a static program and root certificates, nothing else.
#
#   deploy/image/build.sh [NAME:TAG]       default localhost/sidetone:0.1.0
#
# PROFILE=release (default) optimises fully; PROFILE=ci builds faster. BUILDER is docker, podman or buildah (default: the
# first that is there). Needs Rust with the x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu target of this machine. With cmake
# Opus is libopus, without it the codec written in Rust; OPUS=pure asks for the latter (docs/decisions/0013-opus-in-rust-or-libopus.md).
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${1:-localhost/sidetone:0.1.0}
profile=${PROFILE:-release}
target=$(uname -m)-unknown-linux-gnu

builder=${BUILDER:-}
for candidate in buildah podman docker; do
  [[ $builder ]] || { command -v "$candidate" >/dev/null && builder=$candidate; }
done
[[ $builder ]] || { echo "build.sh: install buildah, podman or docker" >&2; exit 1; }

features=()
if [[ ${OPUS:-} != pure ]]; then
  if command -v cmake >/dev/null; then
    features=(--features opus-c)
  else
    echo "build.sh: no cmake: Opus is the codec written in Rust (install cmake for libopus, or say OPUS=pure)" >&2
  fi
fi

# The target is named so that the flag reaches the program and not the procedural macros.
RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile "$profile" --target "$target" -p sidetone "${features[@]}"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "${CARGO_TARGET_DIR:-target}/$target/$profile/sidetone" "$context/sidetone"
strip "$context/sidetone"
cp /etc/ssl/certs/ca-certificates.crt "$context/"

case $builder in
  buildah) buildah bud --isolation chroot -q -t "$image" -f deploy/image/Containerfile "$context" ;;
  *) "$builder" build -q -t "$image" -f deploy/image/Containerfile "$context" ;;
esac
echo "$image: $(du -h "$context/sidetone" | cut -f1)"
