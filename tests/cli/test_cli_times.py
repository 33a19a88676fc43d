"""--since and --as-of on the command line."""

import json

from cli_helpers import make_index, run


def test_only_what_is_of_a_time_is_found_and_deleted(tmp_path):
    turns = [
        {"id": "1", "text": "Ada Byron lives in London.", "date": "1833-06-05"},
        {"id": "2", "text": "Ada Byron lives in Ockham.", "date": "8 July 1835"},
        {"id": "3", "text": "Ada Byron lives somewhere.", "day": "1840"},
    ]
    index = make_index(tmp_path, turns)

    def found(*options):
        shown = run("search", index, "Where does Ada Byron live?", "--json", *options).stdout
        return sorted(hit["id"] for hit in json.loads(shown)["hits"])

    assert found("--as-of", "1834") == ["1"]
    assert found("--since", "July 8, 1835") == ["2"]
    assert found("--since", "1833", "--as-of", "1835-07-08", "--where", "id!=x") == ["1", "2"]
    assert found("--since", "1840", "--time-field", "day") == ["3"]
    refused = run("search", index, "Who?", "--since", "soon", code=2).stderr
    assert "$since takes a time, e.g. 2023" in refused
    run("delete", index, "--as-of", "1834")
    assert found() == ["2", "3"]
