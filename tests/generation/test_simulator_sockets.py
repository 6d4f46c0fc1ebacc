"""Which sockets hear what, and which stop hearing."""

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.generation.simulator_process import ENDLESS_STEPS, Simulator, StartSimulator, flux_graph, is_event

pytest_plugins = ("tests.generation.simulator_fixtures",)


def test_the_greeting_tells_the_id_and_the_queue(simulator: Simulator) -> None:
    (greeting,) = simulator.listen("me").messages
    assert greeting == {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}}


@pytest.mark.parametrize("client_id", [None, ""])
def test_without_an_id_the_server_makes_one(simulator: Simulator, client_id: str | None) -> None:
    (greeting,) = simulator.listen(client_id).messages
    assert len(greeting["data"]["sid"]) == 32


def test_the_socket_also_answers_below_api(simulator: Simulator) -> None:
    assert simulator.listen("me", path="/api/ws").messages[0]["data"]["sid"] == "me"


def test_junk_is_ignored(simulator: Simulator) -> None:
    listener = simulator.listen("me")
    listener.send("junk {")
    listener.send([1, 2])
    listener.send({"type": "feature_flags", "data": {}})
    assert is_event(listener.receive(), "feature_flags")


def test_feature_flags_count_only_as_the_first_message(simulator: Simulator) -> None:
    listener = simulator.listen("me")
    listener.send({"type": "hello"})
    listener.send({"type": "feature_flags", "data": {}})
    assert listener.hears_nothing(0.2)


def test_a_client_that_comes_midway_is_told_the_node_and_then_what_follows(simulator: Simulator) -> None:
    first = simulator.listen("returning")
    prompt_id = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="returning")
    first.until("progress")
    first.close()
    again = simulator.listen("returning")
    assert again.receive() == {"type": "executing", "data": {"node": "13"}}
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    again.until("execution_interrupted", prompt_id=prompt_id)
    assert again.events("execution_start") == []


def test_a_client_that_was_away_at_the_end_is_told_nothing(simulator: Simulator) -> None:
    simulator.run(flux_graph(), client_id="away")
    simulator.become_quiet()
    assert simulator.listen("away").hears_nothing(0.1)


def test_the_newer_of_two_sockets_with_one_id_goes_deaf_when_the_older_closes(simulator: Simulator) -> None:
    witness, older = simulator.listen("witness"), simulator.listen("shared")
    with simulator.hold.after_steps(1):
        prompt_id = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="shared")
        older.until("progress")
        newer = simulator.listen("shared")
        simulator.hold.go_on_to(2)
        newer.until("progress", value=2)
        older.close()
        # Which the server has seen when a later one is greeted.
        simulator.listen("later")
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    simulator.entry(prompt_id)
    witness.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert newer.hears_nothing(0.2)


def test_a_foreign_origin_is_refused(simulator: Simulator) -> None:
    socket_url = simulator.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus, match="403"), connect(socket_url, origin="http://evil.example"):
        pass
    assert simulator.get("/queue", headers={"Origin": "http://evil.example"}).status_code == 403
    assert (
        simulator.get("/queue", headers={"Origin": simulator.url.replace("127.0.0.1", "localhost")}).status_code == 403
    )
    assert simulator.get("/queue", headers={"Origin": simulator.url}).status_code == 200
    assert simulator.get("/queue", headers={"Origin": "http://a", "Host": "comfy.example"}).status_code == 200


def test_a_killed_server_breaks_the_connection_and_forgets_everything(start_simulator: StartSimulator) -> None:
    simulator = start_simulator()
    done = simulator.submit(flux_graph())
    simulator.entry(done)
    listener = simulator.listen("me")
    running = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="me")
    listener.until("progress")
    simulator.process.terminate()
    assert listener.close_code() == 1006
    with pytest.raises(requests.ConnectionError):
        simulator.get("/queue")
    simulator.stop()
    simulator.start()
    assert simulator.queued_ids() == ([], [])
    assert simulator.get("/history").json() == {}
    assert simulator.get(f"/api/jobs/{running}").status_code == 404
    assert simulator.post("/prompt", {"prompt": flux_graph()}).json()["number"] == 0
