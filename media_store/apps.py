from django.apps import AppConfig


class MediaStoreConfig(AppConfig):
    name = "media_store"

    def ready(self) -> None:
        from accounts.services.deletion import account_deleted
        from media_store.services.images import remove_everything

        account_deleted.connect(remove_everything)
