"""Image archives without a registry and without a container engine.

  images.py scratch BINARY REFERENCE ARCHIVE    an image with nothing in it but the binary, at /server
  images.py variant ARCHIVE REFERENCE ARCHIVE   the same image with other content (a label) and another name
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive: str, reference: str, config: dict[str, Any], layers: list[bytes]) -> None:
    names = [f"layer-{number}.tar" for number in range(len(layers))]
    content = json.dumps(config).encode()
    config_name = hashlib.sha256(content).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [reference], "Layers": names}]).encode()
    with tarfile.open(archive, "w") as out:
        for name, data in [("manifest.json", manifest), (config_name, content), *zip(names, layers, strict=True)]:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))


def scratch(binary: str, reference: str, archive: str) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as out, open(binary, "rb") as content:
        entry = tarfile.TarInfo("server")
        entry.mode, entry.size = 0o755, content.seek(0, 2)
        content.seek(0)
        out.addfile(entry, content)
    digest = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/server"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    write(archive, reference, config, [layer.getvalue()])


def variant(source: str, reference: str, archive: str) -> None:
    with tarfile.open(source) as tar:

        def content(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file, name
            return file.read()

        image = json.loads(content("manifest.json"))[0]
        config = json.loads(content(image["Config"]))
        layers = [content(name) for name in image["Layers"]]
    inner = config.setdefault("config", {})
    inner["Labels"] = {**(inner.get("Labels") or {}), "iam-mcp.dev/bench": "variant"}
    write(archive, reference, config, layers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scratch", binary, reference, archive]:
            scratch(binary, reference, archive)
        case ["variant", source, reference, archive]:
            variant(source, reference, archive)
        case _:
            sys.exit(__doc__)
