"""A seeded city over real MQTT, and feeds of recorded series."""
