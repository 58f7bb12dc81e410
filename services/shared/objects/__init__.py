"""The object store: any S3 endpoint, with checksums and whole-or-absent writes.

    store = ObjectStore.from_settings(settings)
    store.put_bytes("runs/r1/status.json", data)
    store.put_folder("models/m/v1", folder, manifest={"base": "smollm2"})   # manifest.json last
    with store.open("datasets/d/abc/train.jsonl") as lines: ...             # verified at its end
    store.get_folder("models/m/v1", cache / "m")                            # verified, then renamed

Everything here blocks: in async code call it through `asyncio.to_thread`.
"""

from services.shared.objects.folders import MANIFEST
from services.shared.objects.keys import check_key
from services.shared.objects.store import ObjectInfo, ObjectStore

__all__ = ["MANIFEST", "ObjectInfo", "ObjectStore", "check_key"]
