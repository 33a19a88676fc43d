"""Forms of one name: what is joined, and above all what is not."""

import pytest

from graphmem.graph.name_forms import declared_acronyms, name_forms
from graphmem.types import Passage


def forms(*texts, names):
    """The forms among names, each extracted from the texts that hold it."""
    passages = [Passage(str(i), text) for i, text in enumerate(texts)]
    spelled = [
        {normal: written for normal, written in names.items() if written in text} for text in texts
    ]
    return name_forms(passages, spelled)


def named(*names):
    """The forms among names, each in a text of its own."""
    from graphmem.base.text import normalise_phrase

    return forms(*names, names={normalise_phrase(name): name for name in names})


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("H. Quennell", "Humphrey Quennell"),
        ("H.Quennell", "Humphrey Quennell"),
        ("H.J.Quennell", "Humphrey James Quennell"),
        ("Humphrey J. Quennell", "Humphrey Quennell"),
        ("Humphrey Quennell Jr.", "Humphrey Quennell"),
        ("Humphrey Quennell III", "Humphrey Quennell"),
        ("Dr. Humphrey Quennell", "Humphrey Quennell"),
        ("J.-L. Quennell", "Jean-Luc Quennell"),
        ("J-L Quennell", "Jean-Luc Quennell"),
        ("D. da Silva", "Duarte da Silva"),
        ("J. W. van Doorn", "Jan Willem van Doorn"),
        ("L. van der Meer", "Lotte van der Meer"),
        ("QUENNELL Humphrey", "Humphrey Quennell"),
        ("VAN DER MEER Jan Willem", "Jan Willem van der Meer"),
        ("O'REGAN Sinéad", "Sinead O’Regan"),
        ("Chef Humphrey Quennell", "Humphrey Quennell"),
        ("Humphrey Quennell OBE", "Humphrey Quennell"),
        ("Humphrey Quennell M.D. PhD", "Humphrey Quennell"),
        ("HumphreyQuennell", "Humphrey Quennell"),
        ("Humphrey Quenell", "Humphrey Quennell"),
        ("Humphrey Quenenll", "Humphrey Quennell"),
        ("Halcyon Holdings Inc.", "Halcyon Holdings"),
        ("Halcyon GmbH", "Halcyon"),
        ("Halcyon S.p.A.", "Halcyon"),
        ("Halcyon Works AB", "Halcyon Works"),
        ("Halcyon Avenue", "Halcyon Ave."),
        ("Univ. of Halcyon", "University of Halcyon"),
        ("Halcyon Nr. 7", "Halcyon No. 7"),
        ("Halcyon vs. Quennell", "Halcyon v. Quennell"),
        ("St. Swithin Abbey", "Saint Swithin Abbey"),
        ("2nd Street Bridge", "Second Street Bridge"),
        ("Kestrel II", "Kestrel 2"),
        ("Jörg Müller", "Joerg Mueller"),
        ("PPR7195", "PPR-7195"),
        ("978-3-16-148410-0", "9783161484100"),
        ("20260305", "2026-03-05"),
        ("v1.12.3", "1.12.3"),
        ("Quartz v2.1", "Quartz 2.1"),
        ("Quartz version 4", "Quartz 4"),
        ("Art. 15", "Article 15"),
        ("Sec. 4a", "Section 4a"),
        ("3f9a2bc", f"3f9a2bc7{'1d' * 16}"),
        ("https://quennell.org/a", "http://www.quennell.org/a"),
    ],
)
def test_one_name(form, name):
    (pair,) = named(form, name).merged.items()
    assert len({*pair}) == 2


def test_parts_of_one_legal_form():
    found = named("Halcyon Co.", "Halcyon Co., Ltd.", "Halcyon").merged
    assert found == {"halcyon co": "halcyon", "halcyon co ltd": "halcyon"}
    assert not named("Halcyon Co.", "Halcyon Inc.", "Halcyon").merged


@pytest.mark.parametrize(
    "names",
    [
        ("Edmund Ravenscroft", "Edgar Ravenscroft"),
        ("Karl Ellison", "Karla Ellison"),
        ("Ann Vaughan", "Anna Vaughan"),
        ("Marten Hollis", "Martin Hollis"),
        ("T. J. Miller", "Tim Miller"),
        ("Humphrey J. Quennell", "Humphrey K. Quennell", "Humphrey Quennell"),
        ("Humphrey Quennell Jr.", "Humphrey Quennell Sr.", "Humphrey Quennell"),
        ("Halcyon Ltd", "Halcyon Inc.", "Halcyon"),
        ("Ada Halcyon", "Halcyon"),
        ("Boris Johnston", "Boris Johnson", "Amy Johnston"),
        ("Rocky II", "Rocky III"),
        ("George W. Bush", "George H. W. Bush"),
        ("John Smith", "John Quincy Smith"),
        ("T.J.Miller", "Tim Miller"),
        ("Mayor of Montreal", "of Montreal"),
        ("Bath Spa", "Bath"),
        ("1.12.3", "11.2.3"),
        ("10.1.12.3", "10.11.2.3"),
        ("Quartz 1.12", "Quartz 11.2"),
        ("A1-11", "A11-1"),
        ("192.168.1.112", "192.168.11.12", "192168111.12"),
        ("D. da Silva", "Duarte de Silva"),
        ("3f9a2bc", f"3f9a2bc7{'1d' * 16}", f"3f9a2bc8{'1d' * 16}"),
        ("3f9a2bc", "3f9a2bc71d"),
        ("GH-4403", "4403"),
        ("D. da Silva", "Duarte da Silva", "Dora da Silva"),
    ],
)
def test_names_that_stay_apart(names):
    assert named(*names).merged == {}


def test_an_issue_by_both_its_names():
    names = {"gh 4403": "GH-4403", "4403": "4403"}
    assert forms("See GH-4403.", "It is #4403.", names=names).merged == {"gh 4403": "4403"}
    assert forms("See GH-4403.", "4403 bugs, as #44031.", names=names).merged == {}


def test_an_initial_that_fits_two_leads_to_both():
    found = named("E. Ravenscroft", "Edmund Ravenscroft", "Edgar Ravenscroft")
    assert found.merged == {}
    assert found.edges == [(0, "edgar ravenscroft"), (0, "edmund ravenscroft")]


def test_a_title_and_surname_leads_to_the_person():
    found = named("Dr Quennell", "Humphrey Quennell")
    assert found.merged == {} and found.edges == [(0, "humphrey quennell")]


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("It was built by Quennell, Humphrey.", [(0, "humphrey quennell")]),
        ("Quennell, Humphrey grew up here.", [(0, "humphrey quennell")]),
        ("In Quennell, Humphrey met Bo.", []),
        ("Built by Quennell, H. It opened late.", [(0, "humphrey quennell")]),
        ("Byron, A., & Quennell, H. (1999)", [(0, "humphrey quennell")]),
        ("We saw Bo, Quennell, H. and Ada.", []),
        ("We saw Bo, Quennell, Humphrey and Ada.", []),
    ],
)
def test_surname_first(text, edges):
    names = {"humphrey quennell": "Humphrey Quennell"}
    assert forms(text, "Humphrey Quennell", names=names).edges == edges


def test_a_middle_name_links_and_joins_nobody():
    found = named("Matilda Maria Thornbury", "Matilda Thornbury")
    assert found.merged == {} and found.edges == [(0, "matilda thornbury")]


@pytest.mark.parametrize(
    "names",
    [
        ("John Smith", "John Quincy Smith", "John Adam Smith"),
        ("John Smith", "John Quincy Smith", "Ada Smith"),
        2 * ("John Smith", "John Quincy Smith"),  # each has a life of its own
    ],
)
def test_middle_names_that_can_be_of_two_people_link_nothing(names):
    found = named(*names)
    assert found.merged == {} and found.edges == []


@pytest.mark.parametrize("written", ['William "Bill" Byron', "William (Bill) Byron"])
def test_nicknames(written):
    names = {"bill byron": "Bill Byron", "william byron": "William Byron"}
    found = forms(f"We saw {written}.", "William Byron came.", names=names)
    assert found.edges == [(0, "william byron")] and found.merged == {"bill byron": "william byron"}
    found = forms(f"We saw {written}.", "William Byron came.", "Bill Byron left.", names=names)
    assert found.edges == [(0, "bill byron"), (0, "william byron")] and found.merged == {}
    found = forms(f"We saw {written}.", names={})
    assert found.added == [(0, "william byron", "William Byron")]


def test_a_nickname_of_two_people_is_neither():
    found = forms('William "Bill" Byron met Wilbur "Bill" Byron.', names={})
    assert found.merged == {}


@pytest.mark.parametrize("local", ["ada.byron", "a.byron", "abyron", "ada_byron", "ada.byron2"])
def test_mail_addresses(local):
    address = f"{local}@example.org"
    assert named(address, "Ada Byron").edges == [(0, "ada byron")]
    two = named(address, "Ada Byron", "Anne Byron").edges
    assert two == ([(0, "ada byron")] if "ada" in local else [])
    assert named("sales.team@example.org", "Ada Byron").edges == []


def test_acronyms():
    names = {"ashgrove research institute": "Ashgrove Research Institute"}
    found = forms("The Ashgrove Research Institute (ARI) opened.", "The ARI closed.", names=names)
    assert found.merged == {"ari": "ashgrove research institute"}


def test_two_bodies_with_one_acronym_stay_two():
    names = {
        "ashgrove research institute": "Ashgrove Research Institute",
        "alpine rescue initiative": "Alpine Rescue Initiative",
    }
    found = forms(
        "The Ashgrove Research Institute (ARI) opened.",
        "The Alpine Rescue Initiative (ARI) closed.",
        names=names,
    )
    assert found.merged == {}


@pytest.mark.parametrize(
    "text",
    [
        "the Food and Agriculture Organization (FAO)",
        "FAO (Food and Agriculture Organization)",
        "FAO, which stands for the Food and Agriculture Organization, met",
        "the Food and Agriculture Organization, also known as the FAO, met",
        "the Food and Agriculture Organization, or FAO, met",
    ],
)
def test_ways_to_declare_an_acronym(text):
    assert declared_acronyms(text) == [("FAO", "Food and Agriculture Organization")]


@pytest.mark.parametrize("text", ["Ada Byron (UK)", "(see FAO)", "Rome (1945)", "((((FAO" * 500])
def test_what_declares_no_acronym(text):
    assert declared_acronyms(text) == []
