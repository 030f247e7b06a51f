"""Check the caller's permissions on a bucket, and answer "Buckets: testIamPermissions"."""

from __future__ import annotations

from urllib.parse import parse_qs

from ..project.resources import ProjectResources
from .object_store import BucketStore
from .refusals import StorageRefusal
from .routes import Reply, StorageRequest

# "IAM permissions for JSON methods" in Cloud Storage's documentation
PERMISSIONS = {
    "objects.get": "storage.objects.get",
    "objects.download": "storage.objects.get",
    "objects.insert": "storage.objects.create",
    "uploads.start": "storage.objects.create",
    "uploads.chunk": "storage.objects.create",
    "objects.compose": "storage.objects.create",
    "objects.copy": "storage.objects.create",
    "objects.rewrite": "storage.objects.create",
    "objects.move": "storage.objects.move",
    "objects.delete": "storage.objects.delete",
    "objects.patch": "storage.objects.update",
    "objects.update": "storage.objects.update",
    "objects.list": "storage.objects.list",
    "buckets.get": "storage.buckets.get",
    "buckets.patch": "storage.buckets.update",
    "buckets.update": "storage.buckets.update",
    "buckets.delete": "storage.buckets.delete",
    "buckets.list": "storage.buckets.list",
    "buckets.insert": "storage.buckets.create",
}


def check_permitted(resources: ProjectResources, call: StorageRequest) -> None:
    """Refuse a call that needs a permission which the caller lacks. Raises StorageRefusal: 403."""
    permission = PERMISSIONS.get(call.kind)
    if permission is not None and resources.is_denied(permission, call.target_bucket or call.bucket):
        kind = "bucket" if permission.startswith("storage.buckets") else "object"
        raise StorageRefusal(
            403,
            "forbidden",
            f"The caller does not have {permission} access to the Google Cloud Storage {kind}. Permission"
            f" '{permission}' denied on resource (or it may not exist).",
        )


def tested_permissions(resources: ProjectResources, store: BucketStore, call: StorageRequest, query: str) -> Reply:
    """Name those of the permissions asked for that the caller has. Raises StorageRefusal: 404."""
    bucket = store.bucket(call.bucket)
    requested = parse_qs(query).get("permissions", [])
    granted = [permission for permission in requested if not resources.is_denied(permission, bucket.name)]
    content: dict[str, object] = {"kind": "storage#testIamPermissionsResponse"}
    return Reply(200, {**content, "permissions": granted} if granted else content)
