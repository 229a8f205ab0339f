"""What a device is called, as far as its user agent says.

A rule instead of a library: those bring hundreds of patterns to run on text that a stranger wrote, and the
owner only needs to tell the laptop from the phone.
"""

UNKNOWN = "Unknown device"
LONGEST_PRODUCT = 60  # characters

# What an agent holds, and what that means. Each claims to be those below it too, so the first one counts.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def readable_name(user_agent: str) -> str:
    """`Firefox on Windows`, `MyApp/2.1 on iPhone`, `curl/8.5.0`; never a character that cannot be shown."""
    agent = "".join(filter(str.isprintable, user_agent))
    software = _first(BROWSERS, agent) or _product(agent)
    system = _first(SYSTEMS, agent)
    return " on ".join(part for part in (software, system) if part) or UNKNOWN


def _first(meanings: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((meaning for sign, meaning in meanings if sign in agent), "")


def _product(agent: str) -> str:
    """How the agent calls itself before its remarks; nothing when that is what all browsers begin with."""
    product = agent.partition("(")[0].strip()[:LONGEST_PRODUCT]
    return "" if product.startswith("Mozilla/") else product
