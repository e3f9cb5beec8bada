"""What a user can put right: said in one line, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong; the text says what, and what to do."""
