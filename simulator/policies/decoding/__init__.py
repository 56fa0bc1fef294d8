"""How an answer is decoded."""
