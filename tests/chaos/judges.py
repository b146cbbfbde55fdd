"""Who judges a changed line of the rooms that can lose money: of each file, the tests that are about it."""

from __future__ import annotations

_ROOM = "tests/unit/{room}/test_{room}_{about}.py"
ABOUT: dict[str, str] = {
    "signer/store": "store disk seq refusals spending",
    "signer/disk": "disk store",
    "signer/guarded": "store disk seq socket",
    "signer/policy_file": "policy_file store orders",
    "signer/policy": "policy store orders bounded perps perps_own spending vaults",
    "signer/deadlines": "deadlines",
    "signer/spending": "spending",
    "signer/swaps": "swaps orders",
    "signer/key": "key",
    "signer/keystore": "key making socket",
    "signer/making": "making",
    "signer/eip1559": "selfcheck bytes policy prepare",
    "signer/orders": "orders swaps",
    "signer/vaults": "vaults spending",
    "signer/perps": "perps perps_own",
    "signer/bounded": "bounded",
    "signer/hedges": "hedges",
    "signer/calls": "calls vaults perps perps_own bounded",
    "signer/selfcheck": "selfcheck",
    "signer/local": "prepare selfcheck policy socket",
    "signer/service": "socket disk",
    "signer/remote": "socket disk",
    "signer/__main__": "socket",
    "journal/codec": "codec codec_edges intents",
    "journal/files": "queries file migrate",
    "journal/opening": "queries file adrift migrate",
    "journal/migrate": "migrate",
    "journal/moves": "intents life",
    "journal/tables": "migrate queries intents",
    "journal/statements": "direct queries intents retention",
    "journal/direct": "direct undone queries",
    "journal/write": "intents queries file retention durable undone",
    "journal/read": "queries intents file",
    "journal/rows": "queries intents file",
    "journal/retention": "retention",
    "journal/recover": "recover recover_again former",
    "journal/whole": "whole recover",
    "journal/adrift": "adrift",
    "journal/apart": "apart",
    "journal/copying": "copying",
    "journal/starts": "starts",
    "journal/warming": "warming",
    "transaction/answers": "answers send",
    "transaction/bids": "bids replan send fees",
    "transaction/doubt": "doubt doubt_sales beside slow",
    "transaction/fees": "fees send",
    "transaction/fees_urgency": "fees_urgency fees",
    "transaction/nobody": "send meanwhile",
    "transaction/nonce": "settle send nonce",
    "transaction/remembered": "settle",
    "transaction/simulate": "simulate why_reverted send",
    "transaction/spending": "send beside",
    "transaction/dry": "send",
    "transaction/send": "send replan settle tend meanwhile beside slow former",
    "transaction/fields": "send meanwhile",
    "confirmation/receipt": "tend edges",
    "confirmation/receipts": "tend edges crash slow",
    "confirmation/finality": "finality tend",
    "confirmation/former": "former",
    "confirmation/branch": "tend edges crash revival beside slow",
    "confirmation/everybody": "beside",
    "confirmation/follow": "tend edges crash revival full_disk beside slow finality former",
    "confirmation/missing": "edges tend beside counts",
    "confirmation/pressing": "tend edges full_disk",
    "confirmation/revival": "revival crash edges beside",
    "confirmation/promise": "promise tend",
}
"""File -> the subjects of the tests that answer for it; every file of the rooms in which anything can be changed."""
BESIDE = {
    "bytes": ("tests/property/test_signer_bytes.py",),
    "codec": ("tests/property/test_journal_codec.py",),
    "life": ("tests/property/test_journal_life.py",),
    "tend": ("tests/unit/confirmation/test_confirmation_tend.py",),
    "recover": (
        "tests/unit/journal/test_journal_recover.py",
        "tests/unit/transaction/test_transaction_nonce.py",
        "tests/unit/confirmation/test_confirmation_crash.py",
        "tests/unit/confirmation/test_confirmation_beside.py",
    ),
    "beside": ("tests/unit/confirmation/test_confirmation_beside.py",),
    "slow": ("tests/unit/confirmation/test_confirmation_slow.py",),
    "former": ("tests/unit/confirmation/test_confirmation_former.py",),
    "recover_again": ("tests/unit/journal/test_journal_recover_again.py",),
}


def judges_of(file: str) -> tuple[str, ...]:
    """The tests that judge every change of ``file`` (``room/name``), whichever lines they run."""
    room = file.split("/")[0]
    return tuple(
        test
        for about in ABOUT.get(file, "").split()
        for test in BESIDE.get(about, (_ROOM.format(room=room, about=about),))
    )
