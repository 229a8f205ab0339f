"""`/api/images` and `/media`."""

import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from accounts.models import User
from accounts.viewsets import SignedInViewSet
from media_store import links, rendering
from media_store.calls import IMAGES, IMAGES_A_PAGE, INCOMING, MEDIA
from media_store.calls import UPLOADS as DIRECT_UPLOADS
from media_store.models import Image
from media_store.serializers import (
    BeginUploadSerializer,
    UploadSerializer,
    render_begun,
    render_image,
    validate_type,
)
from media_store.services import direct_uploads
from media_store.services import images as services
from media_store.services.blobs import storage_key
from media_store.services.images import Upload
from media_store.storage import get_storage
from media_store.streaming import file_response
from media_store.variants import MIME, ORIGINAL, VARIANTS, fitting
from nanobanana.errors import Forbidden, UnsupportedMedia, ValidationFailed
from nanobanana.forms import FORM, read_form
from nanobanana.pagination import choice_of, listing, window_of
from nanobanana.requests import chunks_of
from nanobanana.serializers import validate
from nanobanana.throttling import UPLOADS
from nanobanana.viewsets import ViewSet


class ImageViewSet(SignedInViewSet):
    calls = IMAGES
    budgets = {"upload": UPLOADS, "upload_batch": UPLOADS}

    async def upload(self) -> HttpResponse:
        uploads, fields = await self._form("image", most=1)
        image = await services.upload_image(
            user=self.user, upload=uploads[0], operation=self.operation(), **fields
        )
        return self.answer({"message": "Image uploaded.", "image": render_image(image)}, 201)

    async def upload_batch(self) -> HttpResponse:
        uploads, fields = await self._form("images", most=settings.MAX_FILES_AT_ONCE)
        outcomes = await services.upload_images(
            user=self.user, uploads=uploads, operation=self.operation(), **fields
        )
        return self.answer({"message": "Images uploaded.", "results": results_of(outcomes)}, 201)

    async def retrieve(self, image_id: str) -> HttpResponse:
        image = await services.get_image(user=self.user, image_id=image_id)
        return self.answer({"image": render_image(image)})

    async def content(self, image_id: str) -> HttpResponseBase:
        variant = choice_of(self.request.GET, "variant", VARIANTS)
        image = await services.get_image(user=self.user, image_id=image_id)
        response = await picture_response(
            self.request, image, fitting_variant(image, variant), max_age=settings.MEDIA_URL_EXPIRES_IN
        )
        # The address is the same for everybody, and what a browser keeps must not be.
        patch_vary_headers(response, ["Authorization"])
        return response

    async def destroy(self, image_id: str) -> HttpResponse:
        await services.delete_image(user=self.user, image_id=image_id, operation=self.operation())
        return self.answer({"message": "Image deleted."})

    async def list(self) -> HttpResponse:
        window = window_of(self.request.GET, limit=IMAGES_A_PAGE, descending=True)
        return self._listed(await services.list_images(user=self.user, window=window), window)

    async def list_of_session(self, session_id: str) -> HttpResponse:
        window = window_of(self.request.GET, limit=IMAGES_A_PAGE, descending=True)
        type = self.request.GET.get("type")
        if type:
            validate_type(type)
        page = await services.list_session_images(
            user=self.user, session_id=session_id, type=type, window=window
        )
        return self._listed(page, window)

    async def clean_up(self) -> HttpResponse:
        outcomes = await services.clean_up(user=self.user)
        return self.answer({"message": "Unused images deleted.", "results": results_of(outcomes)})

    def _listed(self, page: Any, window: Any) -> HttpResponse:
        listed = listing(page, window, index=Image.indexes[0])
        images = [render_image(image) for image in listed.objects]
        return self.answer({"images": images, "pagination": listed.pagination})

    async def _form(self, name: str, *, most: int) -> tuple[Sequence[Upload], dict[str, Any]]:
        """The files of the field `name` and the other fields of a multipart body."""
        if self.request.content_type != FORM:
            raise UnsupportedMedia("Send the picture as multipart/form-data.")
        form, all_files = await read_form(self.request)
        files = all_files.getlist(name)
        fields = validate(UploadSerializer, form.dict())
        if not 0 < len(files) <= most:
            sentence = (
                f"Send 1 to {most} files in this field." if most > 1 else "Send one file in this field."
            )
            raise ValidationFailed(details={name: [sentence]})
        uploads = [Upload(str(file.name), file.size or 0, file.file) for file in files]
        return uploads, {"session_id": fields["sessionId"], "type": fields["type"]}


class DirectUploadViewSet(SignedInViewSet):
    """Uploads whose bytes go past us."""

    calls = DIRECT_UPLOADS
    budgets = dict.fromkeys(DIRECT_UPLOADS, UPLOADS)

    async def begin(self) -> HttpResponse:
        fields = self.body(BeginUploadSerializer)
        begun = await direct_uploads.begin_upload(
            user=self.user, session_id=fields.pop("sessionId"), operation=self.operation(), **fields
        )
        return self.answer({"message": "Upload begun.", "upload": render_begun(begun)}, 201)

    async def complete(self, upload_id: str) -> HttpResponse:
        image = await direct_uploads.complete_upload(
            user=self.user, upload_id=upload_id, operation=self.operation()
        )
        return self.answer({"message": "Image uploaded.", "image": render_image(image)}, 201)


class IncomingViewSet(ViewSet):
    """Where the bytes of direct uploads go that are kept on this machine: whoever has the address may."""

    calls = INCOMING
    takes_keys = False  # like the addresses of clouds; and the bytes are not to be read twice

    async def receive(self, user_id: str, upload_id: str) -> HttpResponse:
        query = self.request.GET
        links.verify_upload(user_id, upload_id, query.get("e", ""), query.get("s", ""))
        await direct_uploads.receive_upload(
            user_id=user_id,
            upload_id=upload_id,
            mime=self.request.headers.get("Content-Type", ""),
            chunks=chunks_of(self.request),
        )
        return self.answer({"message": "The bytes are here; complete the upload."})


class MediaViewSet(ViewSet):
    """The bytes behind the addresses of pictures: whoever has the signed address may look."""

    calls = MEDIA

    async def retrieve(self, user_id: str, image_id: str, variant: str) -> HttpResponseBase:
        query = self.request.GET
        expires_at = links.verify(user_id, image_id, variant, query.get("e", ""), query.get("s", ""))
        if variant not in VARIANTS:
            raise Forbidden
        image = await services.get_image(user=User(user_id, user_id), image_id=image_id)
        max_age = max(0, expires_at - int(time.time()))
        return await picture_response(self.request, image, variant, max_age=max_age)


async def picture_response(
    request: HttpRequest, image: Image, variant: str, *, max_age: int
) -> HttpResponseBase:
    """The bytes of one variant, or where they lie; `max_age` is in seconds."""
    mime = image.mime if variant == ORIGINAL else MIME
    return await file_response(
        request,
        storage=get_storage(),
        key=storage_key(image, variant),
        size=await rendering.size_of(image, variant),
        mime=mime,
        etag=f'"{image.sha256[:32]}-{variant}"',
        max_age=max_age,
        filename=f"{image.id}.{mime.removeprefix('image/')}",
        may_change=variant == ORIGINAL and image.compressible,
    )


def fitting_variant(image: Image, variant: str) -> str:
    return fitting(variant, width=image.width, height=image.height, shows_in_browsers=image.shows_in_browsers)


def results_of(outcomes: list[services.Outcome]) -> dict[str, Any]:
    """`{successful, failed: [{filename, error, message}], total}`."""
    failed = [
        {"filename": outcome.filename, "error": outcome.error.code, "message": outcome.error.message}
        for outcome in outcomes
        if outcome.error
    ]
    successful = [
        render_image(outcome.image) if outcome.image else outcome.filename
        for outcome in outcomes
        if not outcome.error
    ]
    return {"successful": successful, "failed": failed, "total": len(outcomes)}
