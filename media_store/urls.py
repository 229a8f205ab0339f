from django.urls import path

from media_store.views import DirectUploadViewSet, ImageViewSet

urlpatterns = [
    path("images/upload", ImageViewSet.as_view({"post": "upload"})),
    path("images/upload/batch", ImageViewSet.as_view({"post": "upload_batch"})),
    path("images/uploads", DirectUploadViewSet.as_view({"post": "begin"})),
    path("images/uploads/<str:upload_id>/complete", DirectUploadViewSet.as_view({"post": "complete"})),
    path("images/cleanup", ImageViewSet.as_view({"post": "clean_up"})),
    path("images/user/all", ImageViewSet.as_view({"get": "list"})),
    path("images/session/<str:session_id>", ImageViewSet.as_view({"get": "list_of_session"})),
    path("images/<str:image_id>/content", ImageViewSet.as_view({"get": "content"})),
    path("images/<str:image_id>", ImageViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
]
