"""The webhook's version of the enqueue, in SQL and through an API, as the example's page gives it."""

import re
from uuid import uuid4

from tests.database import Database
from tests.unit.test_docs import claims_of_the_token, snippet

PAGE = "examples/call_handler/README.md"


def registered(database: Database) -> str:
    """The snippet's agent, for an organisation of its own."""
    org_id, agent = database.organisation(), f"assistant-{uuid4()}"
    query = "INSERT INTO agents (org_id, name, provider, provider_agent_id) VALUES (%s, 'Ada', 'vapi', %s)"
    database.run(query, org_id, agent)
    return agent


def test_sql_takes_in_a_call_once_and_keeps_one_that_nobody_claims(shared: Database) -> None:
    statement = snippet(PAGE, "webhook_sql")
    known = statement.replace("assistant-12", registered(shared)).replace("call-7f3a", uuid4().hex)
    with shared.connect("call_handler") as connection:
        first, again, unknown = (connection.execute(one).fetchone() for one in (known, known, statement))
    assert first is not None
    assert again is not None
    assert unknown is not None
    assert (first[:2], first[2:], again[2:]) == (again[:2], (True, None), (False, None))
    assert (unknown[:3], unknown[3] is not None) == ((None, None, False), True)


def test_typescript_names_arguments_that_exist_and_does_it_with_that_token(shared: Database) -> None:
    call = re.search(r'rpc\("(\w+)", \{(.*?)\n\}\)', snippet(PAGE, "webhook_typescript"), re.DOTALL)
    assert call is not None
    names = re.findall(r"^  (\w+):", call[2], re.MULTILINE)
    assert set(names) <= set(shared.one("SELECT proargnames FROM pg_proc WHERE proname = %s", call[1]))
    values = {
        "provider": "vapi",
        "provider_call_id": uuid4().hex,
        "source_url": "https://provider.example/a.wav",
        "provider_agent_id": registered(shared),
        "phone_number": None,
        "direction": "inbound",
        "from_number": "+12025550119",
        "started_at": "2026-11-23T10:00:00.000Z",
        "ended_at": None,
    }
    with shared.connect() as admin:
        # Membership belongs to the cluster: it is taken back, for other tests look at it.
        admin.execute(snippet("README.md", "grant"))
        try:
            with shared.connect("authenticator") as api, api.transaction():
                api.execute("SELECT set_config('role', %s, true)", (claims_of_the_token()["role"],))
                arguments = ", ".join(f"{name} => %({name})s" for name in names)
                row = api.execute(f"SELECT created FROM {call[1]}({arguments})", values).fetchone()
        finally:
            admin.execute("REVOKE call_handler FROM authenticator")
    assert row == (True,)
