"""Beside ``signer`` the only room that can spend: simulate, journal, sign, journal, broadcast."""
