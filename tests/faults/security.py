"""The items of the security checklist that live trading waits for; `@pytest.mark.fault("S01")` says what proves one."""

from __future__ import annotations

from typing import Final

SECURITY: Final = {
    "S01": "Keys that may withdraw or transfer are refused",
    "S02": "One key reads, another trades, and only the trader opens it",
    "S03": "Keys are sealed for their account, and the master key can be changed",
    "S04": "Keys go in and never come out",
    "S05": "No secret in any log, row, message or page",
    "S06": "Nothing is bought around the gate, nor where too little is traded",
    "S10": "Loopback by default; exposed only with TLS, second factors and strong settings",
    "S11": "No default account and no default password",
    "S12": "Servers are local, or ask for a password",
    "S13": "Guessing passwords is slow, for a name and for a place",
    "S14": "A second factor, and a fresh one for what is dangerous",
}
