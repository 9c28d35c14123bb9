"""The words that two administrators read to each other: 256 that are spelt alike in French and in English."""

SIX_WORDS: tuple[str, ...] = tuple(
    """
    absence accent accident accord action addition agent album alliance alphabet ambition amplitude angle
    animal argument article aspect atlas attention avenue aviation balance banquet baron base bastion bison
    biscuit bonus boulevard bouquet boutique bracelet budget bulletin bureau cabaret cable cactus calibre
    canal canon capital cargo cascade casino cause caution central certain champagne champion chance change
    charade charge cigarette cinema circulation citation civil client coincidence collage collection colonel
    combat commerce compact compassion concert confession confusion conscience consent contact continent
    contraction coupon courage cousin crocodile croissant culture cycle cyclone danger date delta dense
    dessert destination dialogue diction digestion direction discipline discussion distance distinct divan
    division document domino double dragon drainage duel encore ensemble essence excursion exploit expression
    extraction facade favorable festival fiction figure film final finance flexible flora forage force forge
    fortune fragile fragment frontal fruit fusion futile garage gazelle glacier glucose golf gorge gradient
    grand grave guide habitat harmonica horizon hotel humble iceberg illusion image impact important
    impulsion index innocent instant instrument intention invention iris jackpot jaguar jargon jazz journal
    jubilation judo justice kayak kilo kiwi label lance leader liaison lion logo lotion lotus loyal machine
    magazine magnolia marathon massage maximum melon menu message microphone minute mirage mission mobile
    moment montage monument morale motif moustache muscle narration nature navigation nectar niche notable
    note nuance oasis observation occasion olive omelette opinion option orange original oval ovation page
    palette panda parachute parade pardon parent passage passion patience pause permanent piano pigment
    pipeline piston pizza place plan plantation plaque portion portrait position prairie present prince
    prologue promotion public pulsation question quiche
    """.split()
)
