import pytest

from accounts.user_agents import LONGEST_PRODUCT, readable_name

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/142.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 OPR/124.0", "Opera on Windows"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/26 Safari/605", "Safari on macOS"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", "Chrome on Android"),
        (
            "Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) "
            "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) {APPLE} CriOS/142 Mobile Safari/604.1",
            "Chrome on iPhone",
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) {APPLE} FxiOS/145.0 Mobile Safari/605.1.15",
            "Firefox on iPad",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "Chrome on ChromeOS"),
        ("Mozilla/5.0 (X11; FreeBSD amd64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox"),
        ("Mozilla/5.0 (PlayStation; PlayStation 5/9.00)", "Unknown device"),
        ("Banana Editor/2.1 (iPhone; iOS 26.0)", "Banana Editor/2.1 on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Unknown device"),
        ("  ", "Unknown device"),
        ("(nothing but a remark)", "Unknown device"),
        ("one\x1b[31m\u202etwo\n", "one[31mtwo"),
        ("x" * 9000, "x" * LONGEST_PRODUCT),
    ],
)
def test_a_device_is_called_what_its_owner_would_call_it(agent: str, name: str) -> None:
    assert readable_name(agent) == name
