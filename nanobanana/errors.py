"""Everything a caller can do wrong or the server can lack, as one tree; status and code stand on each class.

    APIError
    ├── BadRequest 400 invalid_request        ├── Conflict 409 conflict
    │   ├── ValidationFailed validation_failed│   ├── EmailTaken email_taken
    │   └── MalformedBody malformed_body      │   ├── ImageInUse image_in_use
    ├── Unauthorized 401 unauthorized         │   ├── RequestInFlight request_in_flight
    │   ├── TokenInvalid token_invalid        │   ├── ImageQuotaExceeded image_quota_exceeded
    │   └── CredentialsWrong wrong_credentials│   └── UploadIncomplete upload_incomplete
    ├── Forbidden 403 forbidden               ├── PreconditionFailed 412 precondition_failed
    ├── NotFound 404 not_found                ├── PayloadTooLarge 413 payload_too_large
    └── MethodNotAllowed 405 …                │   ├── ArchiveTooLarge archive_too_large
                                              │   └── ByteQuotaExceeded byte_quota_exceeded
                                              ├── UnsupportedMedia 415 unsupported_media_type
                                              ├── UnreadablePicture 422 unreadable_picture
                                              ├── UploadMismatch 422 upload_mismatch
                                              ├── InfectedFile 422 infected_file
                                              ├── UnreadableArchive 422 unreadable_archive
                                              ├── IdempotencyMismatch 422 idempotency_mismatch
                                              ├── TooManyRequests 429 too_many_requests
                                              ├── ServiceUnavailable 503 service_unavailable
                                              └── StorageFull 507 storage_full

`exception_handler.py` turns them into HTTP answers, `realtime/consumers.py` into frames and close codes.
"""


class APIError(Exception):
    """An error with an answer: `{error, message, details?, requestId}`."""

    status = 500
    code = "internal_error"
    message = "Something went wrong on our side."
    retry_after: int | None = None  # seconds

    def __init__(
        self,
        message: str | None = None,
        *,
        details: dict[str, list[str]] | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or self.message
        self.details = details
        self.retry_after = retry_after or self.retry_after
        self.headers = headers or {}
        super().__init__(self.message)


class BadRequest(APIError):
    status = 400
    code = "invalid_request"
    message = "The request cannot be understood."


class ValidationFailed(BadRequest):
    code = "validation_failed"
    message = "Some fields are not valid."


class MalformedBody(BadRequest):
    code = "malformed_body"
    message = "The body is not what its content type says."


class Unauthorized(APIError):
    status = 401
    code = "unauthorized"
    message = "Sign in first: this call needs a Bearer token."


class TokenInvalid(Unauthorized):
    code = "token_invalid"
    message = "The token is not valid or has expired."


class CredentialsWrong(Unauthorized):
    code = "wrong_credentials"
    message = "The e-mail address or the password is wrong."


class Forbidden(APIError):
    status = 403
    code = "forbidden"
    message = "This is not allowed."


class NotFound(APIError):
    """Absent, or somebody else's: the two look the same."""

    status = 404
    code = "not_found"
    message = "Not found."


class MethodNotAllowed(APIError):
    status = 405
    code = "method_not_allowed"
    message = "This address does not take that method."


class Conflict(APIError):
    status = 409
    code = "conflict"
    message = "The object changed meanwhile; read it again."


class EmailTaken(Conflict):
    code = "email_taken"
    message = "An account with this e-mail address exists."


class ImageInUse(Conflict):
    code = "image_in_use"
    message = "A message still shows this picture."


class RequestInFlight(Conflict):
    code = "request_in_flight"
    message = "The request with this Idempotency-Key is under way; try again shortly."
    retry_after = 1


class ImageQuotaExceeded(Conflict):
    code = "image_quota_exceeded"
    message = "You have as many pictures as you may have; delete some first."


class UploadIncomplete(Conflict):
    code = "upload_incomplete"
    message = "Its bytes have not come yet; put them first."


class PreconditionFailed(APIError):
    status = 412
    code = "precondition_failed"
    message = "The object is at another revision than If-Match says; read it again."


class PayloadTooLarge(APIError):
    status = 413
    code = "payload_too_large"
    message = "The body is too large."


class ArchiveTooLarge(PayloadTooLarge):
    code = "archive_too_large"
    message = "The archive has more than is taken at once."


class ByteQuotaExceeded(PayloadTooLarge):
    code = "byte_quota_exceeded"
    message = "Your pictures would take more room than they may; delete some first."


class UnsupportedMedia(APIError):
    status = 415
    code = "unsupported_media_type"
    message = "This type of content is not accepted."


class InfectedFile(APIError):
    status = 422
    code = "infected_file"
    message = "The file contains malware."


class UnreadablePicture(APIError):
    status = 422
    code = "unreadable_picture"
    message = "The picture is damaged and cannot be read."


class UploadMismatch(APIError):
    """`details` maps what was announced to what is wrong with it."""

    status = 422
    code = "upload_mismatch"
    message = "What came is not what was announced."


class UnreadableArchive(APIError):
    """`details` maps the entry, and the line in it, to what is wrong there."""

    status = 422
    code = "unreadable_archive"
    message = "The archive is not one of ours, or damaged; nothing was taken from it."


class IdempotencyMismatch(APIError):
    status = 422
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used with another request."


class TooManyRequests(APIError):
    status = 429
    code = "too_many_requests"
    message = "Too many requests; wait as long as Retry-After says."
    retry_after = 1


class ServiceUnavailable(APIError):
    status = 503
    code = "service_unavailable"
    message = "A service this call needs is down; try again shortly."
    retry_after = 2


class StorageFull(APIError):
    status = 507
    code = "storage_full"
    message = "There is no room left; nothing was changed."
    retry_after = 60
