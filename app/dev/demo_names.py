"""The names in the demo org: its people, its accounts and what its deals are about."""

from __future__ import annotations

OWNERS = (("Amira Haddad", "amira"), ("Ben Okafor", "ben"), ("Chiara Rossi", "chiara"), ("Daniel Lindqvist", "daniel"))
ACCOUNTS = (
    "Acme Corp",
    "Alpine Rail",
    "Aurora Foods",
    "Baltic Timber",
    "Bluefin Logistics",
    "Brightwater Energy",
    "Calder Steel",
    "Cedar Health",
    "Copperline Media",
    "Dunmore Textiles",
    "Eastgate Insurance",
    "Fairmont Hotels",
    "Fjord Shipping",
    "Granite Robotics",
    "Harbour Bank",
    "Helio Solar",
    "Iris Diagnostics",
    "Juniper Pharma",
    "Kestrel Aerospace",
    "Lakeside Dairy",
    "Lumen Optics",
    "Marble Arch Estates",
    "Meridian Telecom",
    "Nordwind Airlines",
    "Oakfield Schools",
    "Orchid Cosmetics",
    "Pelican Ports",
    "Pinecrest Homes",
    "Quarry Stone",
    "Redwood Software",
    "Sable Motors",
    "Silverlake Water",
    "Summit Outdoor",
    "Tandem Payments",
    "Terrace Foods",
    "Umbra Security",
    "Vantage Mapping",
    "Westbrook Paper",
    "Yarrow Seeds",
    "Zephyr Wind",
)
FIRST = ("Jane", "Omar", "Lucia", "Peter", "Mei", "Anna", "Tomas", "Priya", "Samuel", "Ines", "Jonas", "Leila")
LAST = (
    "Doe",
    "Ferreira",
    "Novak",
    "Tanaka",
    "Muller",
    "Adeyemi",
    "Silva",
    "Kowalski",
    "Haas",
    "Moreau",
    "Berg",
    "Costa",
)
COMPETITORS = ("incumbent_vendor", "in-house", "none")
SUBJECTS = ("Annual", "Expansion", "Pilot", "Renewal", "Platform", "Rollout", "Support plan", "Migration")
