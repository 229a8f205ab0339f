"""CPU time per upload of one worker process: `python -m bench.uploads`. README.md says of what."""

import argparse
import io
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import httpx
from PIL import Image

from bench import load
from bench.requests import Case, created, load_of, make_session, measure, table
from bench.server import ROOT, Server, running_server

PHOTO = ROOT / "tests" / "data" / "photos" / "coffee.png"
ROUNDS = 5
UPLOADS = 8  # in each round
# Name, title, size in pixels, format, mode, and at most so many milliseconds of CPU.
PICTURES = (
    ("jpeg-2", "JPEG, 2 megapixels", (1632, 1224), "JPEG", "RGB", 28.0),
    ("jpeg-12", "JPEG, 12 megapixels", (4000, 3000), "JPEG", "RGB", 54.0),
    ("png-4", "PNG RGBA, 4 megapixels", (2309, 1732), "PNG", "RGBA", 122.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.uploads", description=__doc__)
    parser.add_argument("--uploads", type=int, default=UPLOADS, help="per picture and round (%(default)s)")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with running_server() as server, ProcessPoolExecutor(1, mp_context=spawn) as client:
        cases = prepare(server, options.uploads)
        for case in cases:
            client.submit(load.run, load_of(case, server, 2)).result()
        for number in range(1, ROUNDS + 1):
            print(f"round {number} of {ROUNDS}", file=sys.stderr)
            for case in cases:
                measure(case, server, client)
    print("\n".join(table(cases)))


def prepare(server: Server, count: int) -> list[Case]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        account = {"email": "bench@example.com", "username": "bench", "password": "correct horse"}
        token = created(client.post("/api/auth/register", json=account))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return list(cases(client, make_session(client, "Uploads"), count))


def cases(client: httpx.Client, session_id: str, count: int) -> Iterator[Case]:
    for name, title, size, format, mode, aim in PICTURES:
        files = {"image": (f"{name}.{format.lower()}", picture(size, format, mode))}
        request = client.build_request(
            "POST", "/api/images/upload", data={"sessionId": session_id}, files=files
        )
        yield Case(name, title, request, count, status=201, aim=aim)


def picture(size: tuple[int, int], format: str, mode: str) -> bytes:
    output = io.BytesIO()
    with Image.open(PHOTO) as photo:
        photo.convert(mode).resize(size, Image.Resampling.LANCZOS).save(output, format, quality=90)
    return output.getvalue()


if __name__ == "__main__":
    main()
