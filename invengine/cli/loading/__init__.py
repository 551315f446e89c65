"""Loading a history of sales: what is to be done (`plan`), doing it (`replay`), and how far it came (`progress`)."""
