from django.apps import AppConfig


class ChatsConfig(AppConfig):
    name = "chats"

    def ready(self) -> None:
        from accounts.services.deletion import account_deleted
        from chats.services.trash import remove_everything

        account_deleted.connect(remove_everything)
