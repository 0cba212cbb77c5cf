"""The domains that clients may name. All mean the same: the project's trainer in Classifr."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Domain:
    id: UUID
    name: str


# Ids and names are the service's own, so that programs which name a domain go on working
GENERAL = UUID("ee85a74c-405e-4adc-bb47-ffa8ca0c9f31")
DOMAINS = {
    domain.id: domain
    for domain in (
        Domain(GENERAL, "General"),
        Domain(UUID("a8e3c40f-fb4a-466f-832a-5e457ae4a344"), "General [A1]"),
        Domain(UUID("2e37d7fb-3a54-486a-b4d6-cfc369af0018"), "General [A2]"),
        Domain(UUID("c151d5b5-dd07-472a-acc8-15d29dea8518"), "Food"),
        Domain(UUID("ca455789-012d-4b50-9fec-5bb63841c793"), "Landmarks"),
        Domain(UUID("b30a91ae-e3c1-4f73-a81e-c270bff27c39"), "Retail"),
        Domain(UUID("0732100f-1a38-4e49-a514-c9b44c697ab5"), "General (compact)"),
        Domain(UUID("b5cfd229-2ac7-4b2b-8d0a-2b0661344894"), "Landmarks (compact)"),
        Domain(UUID("6b4faeda-8396-481b-9f8b-177b9fa3097f"), "Retail (compact)"),
    )
}
