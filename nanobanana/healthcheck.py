"""Ask the server of this machine how it is: `python -m nanobanana.healthcheck`, the HEALTHCHECK of the image.

It prints what /health answers, and ends with 1 unless all is well. PORT says where to ask.
"""

import os
import sys
import urllib.error
import urllib.request

PATIENCE = 5  # seconds


def main() -> None:
    address = f"http://127.0.0.1:{os.environ.get('PORT') or 3001}/health"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # proxies are for the way outside
    try:
        with direct.open(address, timeout=PATIENCE) as answer:
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())
    except OSError as error:
        sys.exit(f"{address} does not answer: {error}")


if __name__ == "__main__":
    main()
