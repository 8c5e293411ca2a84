"""A model that answers how long a delivery takes: by distance alone, or with the weather."""

from typing import Any

from mlrun.serving import V2ModelServer


class Delivery(V2ModelServer):
    """Inputs: [kilometres, is it raining (0 or 1)]. Outputs: minutes."""

    def load(self) -> None:
        self.minutes_per_km = float(self.get_param("minutes_per_km", 4.0))
        self.rain_minutes = float(self.get_param("rain_minutes", 0.0))

    def predict(self, request: dict[str, Any]) -> list[float]:
        return [
            km * self.minutes_per_km + rain * self.rain_minutes for km, rain in request["inputs"]
        ]
