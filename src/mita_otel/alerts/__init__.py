"""Alerts: what is counted, when it is too much, who is told, and when it is over. Nothing of it is on a request's path."""
