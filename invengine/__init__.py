"""Real-time inventory visibility: live stock, availability and reservations."""

__version__ = "0.1.0"
