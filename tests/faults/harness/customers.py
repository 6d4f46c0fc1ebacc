"""A customer's HTTP client: it asks again until it is answered, and notes answers that nobody should get."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.faults.harness.ledger import Gift, Ledger, Promise
from tests.faults.harness.orders import Order

PATIENCE_SECONDS = 240.0
ANSWER_SECONDS = 40.0
PAUSE_SECONDS = 0.5
# What says "not now", as opposed to "no" or "I am broken".
NOT_NOW = (429, 502, 503)


class Refused(Exception):
    """An answer that no customer should get; it is in the ledger's complaints."""


class Customer:
    """Thread-safe. `url` is the API's root as customers reach it."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._url = url
        self._ledger = ledger

    def ask(self, method: str, path: str, *, expect: tuple[int, ...] = (200, 201), **options: Any) -> requests.Response:
        """Return the first definite answer. Raises Refused."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(requests.RequestException):
                answer = requests.request(method, self._url + path, timeout=(5, ANSWER_SECONDS), **options)
                self._check_form(method, path, answer)
                if answer.status_code in expect:
                    return answer
                if answer.status_code not in NOT_NOW:
                    self._refuse(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            time.sleep(PAUSE_SECONDS)
        return self._refuse(f"{method} {path}: no answer in {PATIENCE_SECONDS:.0f} s")

    def _check_form(self, method: str, path: str, answer: requests.Response) -> None:
        if answer.status_code >= 400 and not isinstance(_json(answer).get("detail"), str):
            self._ledger.complain(f"{method} {path}: {answer.status_code} without a detail: {answer.text[:200]}")

    def _refuse(self, what: str) -> requests.Response:
        self._ledger.complain(what)
        raise Refused(what)

    def send_and_hang_up(self, path: str, **options: Any) -> None:
        """Send a request, and be gone before its answer comes."""
        with contextlib.suppress(requests.RequestException):
            requests.post(self._url + path, timeout=(5, 0.001), **options)

    # --- what customers do ---

    def make_character(self, name: str, photo: bytes) -> str:
        body = {"name": name, "trigger_word": f"{name.lower()}_person"}
        answer = self.ask("POST", "/api/characters", json=body).json()
        character = self._ledger.note_gift(Gift("character", str(answer["id"])))
        self.give_photo(character, f"{name}.jpg", photo)
        return character

    def give_photo(self, character: str, name: str, photo: bytes) -> None:
        files = [("files", (name, photo, "image/jpeg"))]
        answer = self.ask("POST", f"/api/characters/{character}/images", files=files).json()
        if len(answer["uploaded"]) != 1:
            self._ledger.complain(f"A photo was not taken: {answer}")
        for taken in answer["uploaded"]:
            self._ledger.note_gift(Gift("photo", taken, character))

    def give_image(self, content: bytes) -> str:
        files = {"file": ("given.jpg", content, "image/jpeg")}
        answer = self.ask("POST", "/api/generation/images", files=files).json()
        return self._ledger.note_gift(Gift("image", str(answer["name"])))

    def give_lora(self, name: str, content: bytes) -> str:
        files = {"file": (f"{name}.safetensors", content, "application/octet-stream")}
        answer = self.ask("POST", "/api/loras/upload", files=files, data={"name": name}).json()
        return self._ledger.note_gift(Gift("LoRA", str(answer["id"])))

    def order(self, order: Order, body: dict[str, Any]) -> Promise:
        path = f"/api/{order.kind}"
        answers = self._sent(order, path, body)
        self._check_twins(answers)
        return self._promised(order, answers[0], not_before=body.get("start_after", ""))

    def repeat(self, promise: Promise, verb: str, body: dict[str, Any]) -> Promise:
        """Retry, extend or rerun an ended job."""
        path = f"/api/{promise.kind}/{promise.job}/{verb}"
        answers = self._sent(promise.order, path, body)
        self._check_twins(answers)
        return self._promised(promise.order, answers[0], source=promise.job)

    def _sent(self, order: Order, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        options = {"json": body, "headers": {"Idempotency-Key": f"{path} {order.number}"}}
        if order.sending == "answer lost":
            self.send_and_hang_up(path, **options)
        copies = 2 if order.sending == "twice at once" else 1
        with ThreadPoolExecutor(copies) as pool:
            answers = [pool.submit(self.ask, "POST", path, **options) for _ in range(copies)]
        return [answer.result().json() for answer in answers]

    def _check_twins(self, answers: list[dict[str, Any]]) -> None:
        if len({answer["id"] for answer in answers}) > 1:
            self._ledger.complain(f"One request, sent twice, started {[answer['id'] for answer in answers]}")

    def _promised(self, order: Order, answer: dict[str, Any], **more: str) -> Promise:
        count = int(answer.get("count", 1))
        return self._ledger.note(Promise(answer["id"], order, order.kind, answer["config"], count, **more))

    def cancel(self, promise: Promise) -> None:
        """Cancel; a second try after a lost answer is told that the job is cancelled already."""
        promise.cancelling = "asked"
        answer = self.ask("POST", f"/api/{promise.kind}/{promise.job}/cancel", expect=(200, 400))
        told = _json(answer)
        if told.get("status") == "cancelled" or "in cancelled state" in str(told.get("detail")):
            promise.cancelling = "confirmed"
        elif answer.status_code == 200:
            self._ledger.complain(f"The cancel of {promise.job} was answered with {told.get('status')}")


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
