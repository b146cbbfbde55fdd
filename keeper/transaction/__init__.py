"""With ``signer``, the only room that can spend: simulate, journal, sign, journal, broadcast, in that order."""
