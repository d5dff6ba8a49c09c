"""From claims to ordered money events; pure."""
