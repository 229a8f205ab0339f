"""The story that `manage.py demo` plays: chapters of a few requests each, and what must come of them.

The docstring of a chapter is its title.
"""

import secrets
from collections import Counter
from collections.abc import Callable

from nanobanana.demo.people import Device
from nanobanana.demo.pictures import is_small_webp, mirrored, same_pixels
from nanobanana.demo.stage import Stage
from nanobanana.demo.timeline import Chapter, PromiseBroken

ROCKET, CAT = "rocket.jpg", "chelsea.png"
COFFEE, STARS = "coffee.png", "hubble_deep_field.jpg"
PHOTOS = (ROCKET, CAT, COFFEE, STARS)
MIRRORED = "mirrored.jpg"  # the cat, as the phone turns her

ENGLISH = "Put this cat on top of the rocket and let her look at the stars, please."
CHINESE = "再给她一杯热咖啡，背景换成哈勃望远镜拍到的深空。"
REPLY = "好的，猫咪已经坐在星空下，爪子边是一杯热咖啡。🐱☕"
SECOND_THOUGHT = "Put this cat on top of the rocket, with a scarf against the wind."
NEVER_EXISTED = "01J00000000000000000000000"


async def accounts(stage: Stage) -> None:
    """Alice signs up on her laptop and signs in on her phone; Bob signs up too"""
    registered, bob = await stage.laptop.register(), await stage.tablet.register()
    signed_in = await stage.phone.sign_in()
    stage.promise("both devices are of one account", signed_in["user"]["id"], registered["user"]["id"])
    stage.promise("Bob is somebody else", bob["user"]["id"] != stage.alice.id)
    stage.promise("no answer carries the password", stage.alice.password in f"{registered}{signed_in}", False)
    again = {"email": stage.alice.email.upper(), "username": "Bob", "password": stage.bob.password}
    refusal = await stage.tablet.post("/api/auth/register", again, expecting=409)
    stage.promise("an address is taken once, whatever its case", refusal["error"], "email_taken")


async def sockets(stage: Stage) -> None:
    """A chat begins, and each device opens its socket in another of the three ways"""
    stage.chat = (await stage.laptop.post("/api/sessions"))["session"]["id"]
    stage.bobs_chat = (await stage.tablet.post("/api/sessions", {"title": "Bob's own"}))["session"]["id"]
    stage.promise("a write says its position in the log", ":" in stage.timeline.last_write(["laptop"]))
    laptop = await stage.laptop.connect(stage.chat, by="a ticket")
    phone = await stage.phone.connect(stage.chat, by="a token in the subprotocol")
    bobs = await stage.tablet.connect(stage.bobs_chat, by="a token in the address")
    greeted = [frame["userId"] for frame in (laptop, phone, bobs)]
    stage.promise("each is greeted as who it is", greeted, [stage.alice.id, stage.alice.id, stage.bob.id])
    second = await stage.laptop.is_refused(stage.chat, ticket=stage.laptop.ticket)
    stage.promise("a ticket opens one socket; a second is closed with 4401", second, (4401, []))


async def list_of_chats(stage: Stage) -> None:
    """The list of chats stays the same on both devices"""
    other = (await stage.laptop.post("/api/sessions", {"title": "Holidays"}))["session"]["id"]
    created = await stage.both_hear("session_created")
    stage.promise("the phone sees the new chat", created["payload"]["session"]["title"], "Holidays")
    await stage.phone.put(f"/api/sessions/{other}", {"title": "假期 🏖"})
    renamed = await stage.both_hear("session_updated")
    stage.promise("the laptop sees its new name", renamed["payload"]["session"]["title"], "假期 🏖")
    await stage.laptop.delete(f"/api/sessions/{other}")
    deleted = await stage.both_hear("session_deleted")
    stage.promise("it leaves the phone's list", deleted["payload"]["sessionId"], other)
    await stage.phone.get(f"/api/sessions/{other}", expecting=404)


async def uploads(stage: Stage) -> None:
    """Photographs go up: one alone, then four at once, one of which is no photograph"""
    one = (await stage.laptop.upload(stage.chat, stage.photo(ROCKET)))["image"]
    facts = (one["mime"], one["width"], one["height"])
    stage.promise("type and size are read from the picture itself", facts, ("image/jpeg", 640, 427))
    batch = [stage.photo(CAT), stage.photo(COFFEE), stage.photo(STARS), ("diary.png", b"Dear diary, ...")]
    results = (await stage.laptop.upload_batch(stage.chat, batch))["results"]
    failed = [(each["filename"], bool(each["message"])) for each in results["failed"]]
    stage.promise("the one that is no picture is named, with the reason", failed, [("diary.png", True)])
    stage.pictures = dict(zip(PHOTOS, [one, *results["successful"]], strict=True))
    heard = [(await stage.both_hear("image_created"))["payload"]["image"]["id"] for _ in stage.pictures]
    ids = [picture["id"] for picture in stage.pictures.values()]
    stage.promise("both devices hear of each, once", sorted(heard), sorted(ids))


async def downloads(stage: Stage) -> None:
    """The phone shows them by signed addresses, without a token"""
    for name, picture in stage.pictures.items():
        await fetch_thumbnail(stage, name)
        original = await stage.phone.download(picture["path"])
        same = same_pixels(original.content, stage.photo(name)[1])
        stage.promise(f"{name} comes back pixel for pixel", same)
    unchanged = await stage.phone.download(picture["path"], {"If-None-Match": original.headers["ETag"]})
    stage.promise("what a browser has stays there", (unchanged.status_code, unchanged.content), (304, b""))
    part = await stage.phone.download(picture["path"], {"Range": "bytes=100-299"})
    stage.promise("a part is sent alone", (part.status_code, part.content), (206, original.content[100:300]))
    stage.promise("browsers must not guess types", original.headers["X-Content-Type-Options"], "nosniff")
    elsewhere = picture["path"].replace(picture["id"], stage.picture_id(CAT))
    swapped = await stage.phone.download(elsewhere)
    stage.promise("a signature is good for its own picture only", swapped.status_code in (403, 404))


async def fetch_thumbnail(stage: Stage, name: str) -> None:
    picture = stage.pictures[name]
    thumbnail = await stage.phone.download(picture["thumbPath"], shows=picture["id"])
    stage.promise(f"the thumbnail of {name} is a small WebP", is_small_webp(thumbnail.content))
    stage.timeline.thumbnails[picture["id"]] = thumbnail.content


async def conversation(stage: Stage) -> None:
    """They talk, in two languages, and the chat finds its title"""
    await stage.laptop.send("typing", sessionId=stage.chat, isTyping=True)
    typing = await stage.phone.hears("user_typing")
    seen = (typing["userId"], typing["isTyping"])
    stage.promise("the phone sees that Alice types", seen, (stage.alice.id, True))
    stage.question = await say(stage, "user", ENGLISH, CAT, ROCKET)
    title = (await stage.both_hear("session_updated"))["payload"]["session"]["title"]
    stage.promise(f"the title is the first words: {title}", is_beginning(title, ENGLISH))
    await say(stage, "user", CHINESE, COFFEE, STARS)
    await say(stage, "assistant", REPLY, CAT)
    own = [frame for frame in stage.laptop.frames if frame["type"] == "user_typing"]
    stage.promise("nobody is told of their own typing", own, [])


async def say(stage: Stage, role: str, text: str, *photos: str) -> str:
    """Send a message from the laptop, see it on both devices, and return its id."""
    ids = [stage.picture_id(name) for name in photos]
    message = {"role": role, "text": text, "imageIds": ids}
    sent = (await stage.laptop.post(f"/api/sessions/{stage.chat}/messages", message))["messageData"]
    heard = (await stage.both_hear("message_created"))["payload"]["message"]
    seen = [heard["id"], heard["text"], [image["id"] for image in heard["images"]]]
    stage.promise(f"both read {text[:12]!r} … and see its pictures", seen, [sent["id"], text, ids])
    return sent["id"]


def is_beginning(title: str, text: str) -> bool:
    words = title.rstrip("….")
    return 0 < len(title) <= 50 and text.startswith(words) and text[len(words)] in " ,."


async def retry(stage: Stage) -> None:
    """The train enters a tunnel: the laptop sends the same message twice"""
    key, path = secrets.token_hex(8), f"/api/sessions/{stage.chat}/messages"
    message = {"role": "user", "text": "A little more light on the whiskers?"}
    first, second = [await stage.laptop.post(path, message, once=key) for _ in range(2)]
    stage.promise("the second is answered like the first", second, first)
    await stage.both_hear("message_created")
    stats = (await stage.phone.get(f"/api/sessions/{stage.chat}/stats"))["stats"]
    stage.promise("it is one message, not two", stats["messageCount"], 4)


async def second_thoughts(stage: Stage) -> None:
    """Alice edits her question; a second cat comes and goes"""
    question = f"/api/messages/{stage.question}"
    await stage.phone.put(question, {"text": SECOND_THOUGHT})
    edited = (await stage.both_hear("message_updated"))["payload"]["message"]
    stage.promise("the laptop reads the edited question", edited["text"], SECOND_THOUGHT)
    second_cat = await upload_mirrored_cat(stage)
    await stage.phone.post(f"{question}/images", {"imageId": second_cat})
    attached = (await stage.both_hear("message_updated"))["payload"]["message"]
    stage.promise("the laptop sees her", second_cat in attached["imageIds"])
    refusal = await stage.laptop.delete(f"/api/images/{second_cat}", expecting=409)
    stage.promise("a picture that a message shows stays", refusal["error"], "image_in_use")
    await stage.phone.delete(f"{question}/images/{second_cat}")
    detached = (await stage.both_hear("message_updated"))["payload"]["message"]
    stage.promise("she leaves the message", second_cat in detached["imageIds"], False)
    await stage.laptop.delete(f"/api/images/{second_cat}")
    gone = await stage.both_hear("image_deleted")
    stage.promise("now she can be deleted", gone["payload"]["imageId"], second_cat)
    await stage.phone.get(f"/api/images/{second_cat}", expecting=404)


async def upload_mirrored_cat(stage: Stage) -> str:
    photo = (MIRRORED, mirrored(stage.photo(CAT)[1]))
    stage.pictures[MIRRORED] = (await stage.phone.upload(stage.chat, photo))["image"]
    await fetch_thumbnail(stage, MIRRORED)
    return stage.picture_id(MIRRORED)


async def offline(stage: Stage) -> None:
    """The phone goes offline; things happen; it returns and says where it was"""
    await stage.phone.disconnect()
    position, known = stage.phone.cursor, len(stage.laptop.changes)
    path = f"/api/sessions/{stage.chat}/messages"
    doubt = (await stage.laptop.post(path, {"role": "user", "text": "或者来一杯茶？"}))["messageData"]["id"]
    await stage.laptop.put(f"/api/messages/{stage.question}", {"text": ENGLISH})
    await stage.laptop.delete(f"/api/messages/{doubt}")
    await stage.laptop.put(f"/api/sessions/{stage.chat}", {"title": "太空猫 · Space cat"})
    await stage.laptop.hears("session_updated")
    back = await stage.phone.connect(stage.chat, by="a ticket", since=position)
    resumed = (back["recovered"], back["cursor"])
    stage.promise("the phone goes on from where it was", resumed, (True, position))
    await stage.laptop.post(path, {"role": "user", "text": "Back above ground: show me the cat."})
    await stage.settle()
    missed = stage.laptop.changes[known:]
    heard = stage.phone.changes[known:]
    stage.promise(f"it gets all {len(missed)} changes, once and in order", heard, missed)


async def bob_tries(stage: Stage) -> None:
    """Bob has got hold of Alice's ids"""
    chat, question, picture = stage.chat, stage.question, stage.picture_id(CAT)
    hello = {"role": "user", "text": "Hello!"}
    unknown = await stage.tablet.get(f"/api/sessions/{NEVER_EXISTED}", expecting=404)
    refusals = [
        await stage.tablet.get(f"/api/sessions/{chat}", expecting=404),
        await stage.tablet.put(f"/api/sessions/{chat}", {"title": "Bob was here"}, expecting=404),
        await stage.tablet.delete(f"/api/sessions/{chat}", expecting=404),
        await stage.tablet.get(f"/api/sessions/{chat}/messages", expecting=404),
        await stage.tablet.get(f"/api/sessions/{chat}/stats", expecting=404),
        await stage.tablet.post(f"/api/sessions/{chat}/messages", hello, expecting=404),
        await stage.tablet.get(f"/api/messages/{question}", expecting=404),
        await stage.tablet.put(f"/api/messages/{question}", hello, expecting=404),
        await stage.tablet.delete(f"/api/messages/{question}", expecting=404),
        await stage.tablet.get(f"/api/messages/{question}/images", expecting=404),
        await stage.tablet.post(f"/api/messages/{question}/images", {"imageId": picture}, expecting=404),
        await stage.tablet.delete(f"/api/messages/{question}/images/{picture}", expecting=404),
        await stage.tablet.get(f"/api/images/{picture}", expecting=404),
        await stage.tablet.delete(f"/api/images/{picture}", expecting=404),
        await stage.tablet.get(f"/api/images/session/{chat}", expecting=404),
        await stage.tablet.upload(chat, stage.photo(CAT), expecting=404),
        await stage.tablet.post(
            f"/api/sessions/{stage.bobs_chat}/messages", {**hello, "imageIds": [picture]}, expecting=404
        ),
    ]
    errors = [refusal["error"] for refusal in refusals]
    stage.promise(f"{len(refusals)} tries, 404 each", errors, ["not_found"] * len(refusals))
    stage.promise("hers look like ids that never existed", refusals[0]["message"], unknown["message"])


async def bob_listens(stage: Stage) -> None:
    """Bob tries to listen"""
    alice, bob, token = stage.alice.id, stage.bob.id, stage.tablet.token
    foreign_chat = await stage.tablet.is_refused(stage.chat, userId=bob, token=token)
    stage.promise("his socket to her chat is closed with 4404, unheard", foreign_chat, (4404, []))
    foreign_user = await stage.tablet.is_refused(stage.chat, userId=alice, token=token)
    stage.promise("in her name it is closed with 4403", foreign_user, (4403, []))
    bad_token = await stage.tablet.is_refused(stage.chat, userId=alice, token="nonsense")
    stage.promise("with an invented token it is closed with 4401", bad_token, (4401, []))
    await stage.tablet.send("join_session", sessionId=stage.chat)
    error = await stage.tablet.hears("error")
    stage.promise("on his own socket he cannot join it", error["code"], "not_found")
    message = {"role": "user", "text": "So I talk to myself."}
    await stage.tablet.post(f"/api/sessions/{stage.bobs_chat}/messages", message)
    heard = (await stage.tablet.hears("message_created"))["payload"]["message"]["text"]
    stage.promise("he hears himself", heard, message["text"])
    leaks = [frame for frame in stage.tablet.frames if alice in str(frame) or stage.chat in str(frame)]
    stage.promise("and, from first to last, nothing of Alice's", leaks, [])


async def agreement(stage: Stage) -> None:
    """In the end both devices hold the same conversation, and every count is right"""
    stage.promise("both heard the same changes, in order", stage.phone.changes, stage.laptop.changes)
    listing = await stage.laptop.get(f"/api/sessions/{stage.chat}/messages")
    messages = listing["messages"]
    read = [(message["id"], message["text"]) for message in messages]
    heard = list(listened(stage.phone).items())
    stage.promise("who only listened holds what the server answers", heard, read)
    session = (await stage.phone.get(f"/api/sessions/{stage.chat}"))["session"]
    counts = (session["messageCount"], listing["pagination"]["total"])
    stage.promise("the chat counts its messages", counts, (len(messages), len(messages)))
    images = (await stage.phone.get(f"/api/images/session/{stage.chat}"))["images"]
    shown = Counter(image_id for message in messages for image_id in message["imageIds"])
    references = {image["id"]: image["refCount"] for image in images}
    stage.promise("each picture counts the messages that show it", references, dict(shown))


def listened(device: Device) -> dict[str, str]:
    """The texts of the messages by id, as the frames alone tell them."""
    texts: dict[str, str] = {}
    for frame in device.frames:
        match frame:
            case {"type": "message_created" | "message_updated", "payload": {"message": message}}:
                texts[message["id"]] = message["text"]
            case {"type": "message_deleted", "payload": {"messageId": message_id}}:
                texts.pop(message_id, None)
    return texts


async def farewell(stage: Stage) -> None:
    """Both leave, and take everything with them"""
    for device in (stage.laptop, stage.tablet):
        await device.delete("/api/auth/me", {"password": device.owner.password})
    errors = [(await device.get("/api/auth/me", expecting=401))["error"] for device in stage.devices]
    stage.promise("their tokens open nothing any more", errors, ["token_invalid"] * 3)
    form = {"email": stage.alice.email, "password": stage.alice.password}
    refusal = await stage.phone.post("/api/auth/login", form, expecting=401)
    stage.promise("nobody can sign in as them", refusal["error"], "wrong_credentials")


CHAPTERS = [
    accounts,
    sockets,
    list_of_chats,
    uploads,
    downloads,
    conversation,
    retry,
    second_thoughts,
    offline,
    bob_tries,
    bob_listens,
    agreement,
]


async def play(stage: Stage, show: Callable[[Chapter], None], *, keep: bool = False) -> None:
    """Play all chapters and `show` each when it is over; the first broken promise ends the story."""
    for chapter in CHAPTERS if keep else [*CHAPTERS, farewell]:
        current = stage.timeline.begin(chapter.__doc__ or chapter.__name__)
        try:
            await chapter(stage)
            await stage.settle()
        except PromiseBroken as broken:
            current.broken = broken
            raise
        finally:
            if current.moments:
                show(current)
