"""Places and goods of the sample retailer: the cities are real, from general knowledge; the retailer is invented."""

from __future__ import annotations

from typing import Final, NamedTuple


class City(NamedTuple):
    """A city: the id of a location there, its name, country, a postal code of its centre, degrees north and east."""

    id: str
    name: str
    country: str
    postal_code: str
    latitude: float
    longitude: float


TIME_ZONES: Final = {
    "GB": "Europe/London",
    "IE": "Europe/Dublin",
    "NL": "Europe/Amsterdam",
    "BE": "Europe/Brussels",
    "DE": "Europe/Berlin",
    "FR": "Europe/Paris",
    "PL": "Europe/Warsaw",
}

REGIONS: Final = {
    "GB": "britain",
    "IE": "ireland",
    "NL": "benelux",
    "BE": "benelux",
    "DE": "germany",
    "FR": "france",
}
"""The group that the stores of a country belong to."""

WAREHOUSES: Final = (
    City("DAVENTRY", "Daventry", "GB", "NN11 8NT", 52.257, -1.164),
    City("VENLO", "Venlo", "NL", "5928 LG", 51.397, 6.124),
)

SUPPLIERS: Final = (
    City("LEICESTER", "Leicester", "GB", "LE4 9HA", 52.637, -1.140),
    City("POZNAN", "Poznań", "PL", "61-001", 52.407, 16.925),
)

STORES: Final = (
    City("LONDON", "London", "GB", "W1D 1BS", 51.507, -0.128),
    City("PARIS", "Paris", "FR", "75009", 48.857, 2.352),
    City("BERLIN", "Berlin", "DE", "10117", 52.520, 13.405),
    City("AMSTERDAM", "Amsterdam", "NL", "1012 JS", 52.373, 4.893),
    City("DUBLIN", "Dublin", "IE", "D02 X285", 53.350, -6.260),
    City("MANCHESTER", "Manchester", "GB", "M2 7PW", 53.479, -2.245),
    City("HAMBURG", "Hamburg", "DE", "20095", 53.551, 9.994),
    City("LYON", "Lyon", "FR", "69002", 45.764, 4.836),
    City("BRUSSELS", "Brussels", "BE", "1000", 50.847, 4.352),
    City("BIRMINGHAM", "Birmingham", "GB", "B2 4QA", 52.480, -1.903),
    City("MUNICH", "München", "DE", "80331", 48.137, 11.575),
    City("GLASGOW", "Glasgow", "GB", "G1 3DA", 55.861, -4.250),
    City("MARSEILLE", "Marseille", "FR", "13001", 43.296, 5.370),
    City("ROTTERDAM", "Rotterdam", "NL", "3011 AA", 51.924, 4.478),
    City("LEEDS", "Leeds", "GB", "LS1 6AG", 53.800, -1.549),
    City("COLOGNE", "Köln", "DE", "50667", 50.938, 6.960),
    City("ANTWERP", "Antwerpen", "BE", "2000", 51.221, 4.400),
    City("EDINBURGH", "Edinburgh", "GB", "EH2 2ER", 55.953, -3.189),
    City("FRANKFURT", "Frankfurt", "DE", "60313", 50.111, 8.682),
    City("TOULOUSE", "Toulouse", "FR", "31000", 43.605, 1.444),
    City("LIVERPOOL", "Liverpool", "GB", "L1 8JQ", 53.408, -2.991),
    City("UTRECHT", "Utrecht", "NL", "3511 AX", 52.091, 5.122),
    City("BRISTOL", "Bristol", "GB", "BS1 3BD", 51.455, -2.588),
    City("STUTTGART", "Stuttgart", "DE", "70173", 48.776, 9.183),
    City("LILLE", "Lille", "FR", "59800", 50.629, 3.057),
    City("CORK", "Cork", "IE", "T12 W8KP", 51.898, -8.471),
    City("SHEFFIELD", "Sheffield", "GB", "S1 2HE", 53.381, -1.470),
    City("LEIPZIG", "Leipzig", "DE", "04109", 51.340, 12.375),
    City("NANTES", "Nantes", "FR", "44000", 47.218, -1.554),
    City("CARDIFF", "Cardiff", "GB", "CF10 1PN", 51.482, -3.179),
    City("NEWCASTLE", "Newcastle", "GB", "NE1 7JB", 54.978, -1.617),
    City("BORDEAUX", "Bordeaux", "FR", "33000", 44.838, -0.579),
    City("DRESDEN", "Dresden", "DE", "01067", 51.051, 13.738),
    City("NOTTINGHAM", "Nottingham", "GB", "NG1 2DB", 52.954, -1.150),
    City("GALWAY", "Galway", "IE", "H91 E8XR", 53.271, -9.057),
    City("STRASBOURG", "Strasbourg", "FR", "67000", 48.573, 7.752),
)
"""By how much their stores sell; a larger retailer opens second and third stores in the same order."""

PRODUCTS: Final = (
    "LAMP",
    "CHAIR",
    "TABLE",
    "DESK",
    "SHELF",
    "SOFA",
    "BENCH",
    "STOOL",
    "RUG",
    "MIRROR",
    "CLOCK",
    "VASE",
    "BOWL",
    "PLATE",
    "MUG",
    "GLASS",
    "KNIFE",
    "FORK",
    "SPOON",
    "PAN",
    "POT",
    "KETTLE",
    "TRAY",
    "BASKET",
    "BOX",
    "HOOK",
    "RACK",
    "FRAME",
    "CANDLE",
    "CUSHION",
    "BLANKET",
    "TOWEL",
    "SHEET",
    "PILLOW",
    "CURTAIN",
    "BLIND",
    "BED",
    "CRIB",
    "CABINET",
    "DRAWER",
    "WARDROBE",
    "DRESSER",
    "HAMMOCK",
    "PARASOL",
    "PLANTER",
    "LANTERN",
    "BUCKET",
    "BROOM",
    "LADDER",
    "TOOLBOX",
)

FINISHES: Final = ("OAK", "ASH", "BIRCH", "WALNUT", "BLACK", "WHITE", "GREY", "GREEN", "BLUE", "RED")
