"""What is said at the two companies. Texts that the other side answers begin in words of their own."""

from server.openness import Visibility
from web.demo.companies import AUBRAC, KESTREL
from web.demo.story import Line, Sheet, Story

READINGS = Sheet(
    "Relevés-poste-3.pdf",
    "Poste 3, relevés de la nuit",
    [
        "22:00   231,4 V   régulation centrale   dérive +1,9 %",
        "00:00   233,0 V   régulation centrale   dérive +2,6 %",
        "01:30   passage en régulation locale",
        "02:00   230,2 V   régulation locale     dérive +0,1 %",
        "04:00   230,1 V   régulation locale     dérive  0,0 %",
        "06:00   230,3 V   régulation locale     dérive +0,1 %",
    ],
    "Courbe-poste-3.png",
    "Courbe : la tension du poste 3 monte jusqu’à 233 volts, puis reste à 230 volts après 1 h 30.",
    [(0, 231.4), (1, 232.3), (2, 233.0), (3, 232.8), (3.5, 232.9), (4, 230.2), (5, 230.2), (6, 230.1), (8, 230.3)],
)

CEVENNES = [
    Line(
        "alice",
        "Bonjour à toutes et à tous, et bienvenue à l’équipe de **Kestrel**. Ici : les relevés, les réglages et la "
        "réception des postes 1 à 7. Ce qui n’est pas décidé ici n’est pas décidé.",
        "projet-cevennes",
        key="welcome",
        thanks=["karim", "chloe", "mira"],
    ),
    Line(
        "chloe",
        "Les relevés du poste 3 sont arrivés : la dérive de tension disparaît dès qu’on passe en régulation locale. "
        "Je joins les courbes de la nuit.",
        "projet-cevennes",
        key="readings",
        sheet=READINGS,
        thanks=["alice", "karim", "paul", "jonas"],
        gestures=[("fatou", "🎉")],
    ),
    Line(
        "karim",
        "Je confirme côté télégestion : plus une seule alarme de tension après 1 h 30. On garde ce réglage une semaine "
        "avant de passer au poste 4 ?",
        answers="readings",
        key="one-week",
    ),
    Line(
        "mira",
        "Eine Woche reicht. Oui pour une semaine : il nous faut au moins deux matins de gel, et la météo en annonce "
        "trois.",
        answers="one-week",
        thanks=["alice"],
    ),
    Line(
        "alice",
        "Réception du poste 1 : il reste trois points. 1. le plan de câblage à jour, 2. l’étiquette du coffret, "
        "3. l’essai de coupure. Qui prend quoi ?",
        "projet-cevennes",
        key="acceptance",
    ),
    Line("jonas", "I take the wiring plan; it goes with firmware 4.2 anyway.", answers="acceptance", thanks=["alice"]),
    Line("paul", "L’étiquette et l’essai de coupure sont pour moi, avec l’équipe de Florac.", answers="acceptance"),
    Line(
        "fatou",
        "Commande des relais MX-40 : les vingt pièces partent de l’usine cette semaine. Livraison à Alès, pas à Mende.",
        "projet-cevennes",
        key="order",
        thanks=["paul"],
    ),
    Line("chloe", "Noté pour Alès ; le transporteur appelle Paul une heure avant.", answers="order", thanks=["fatou"]),
    Line(
        "fatou",
        "Visite du poste 4 avec la mairie de Florac : quel jour vous arrange ? Je réserve la navette pour le plus "
        "choisi.",
        "projet-cevennes",
        options=["mardi matin", "jeudi matin", "vendredi après-midi"],
        votes=[("alice", 1), ("karim", 1), ("paul", 0), ("chloe", 1), ("jonas", 2)],
    ),
]

PARTNERS = [
    Line(
        "paul",
        "Pose du MX-40 par grand froid : le verrou du capot casse net sous −10 °C. Deux cas en Lozère. D’autres l’ont-"
        "ils vu ?",
        "retours-mx40",
        key="latch",
        thanks=["ines"],
    ),
    Line(
        "emil",
        "Known since the spring: latches from batch 7 are too brittle. Send me the serial numbers, and you "
        "get metal ones.",
        answers="latch",
        key="batch",
        thanks=["paul", "karim"],
    ),
    Line("paul", "Merci Emil : 7-0213 et 7-0388. Je le dis aux équipes.", answers="batch"),
    Line(
        "lena",
        "Go-to-market for the MX-41: partners get demonstrators first, prices two weeks later, and the press after "
        "that. Please keep it inside this space until then.",
        "installers",
        key="mx41",
        thanks=["driss", "thomas"],
    ),
    Line(
        "thomas",
        "Combien de démonstrateurs pour la France ? Trois clients les attendent.",
        answers="mx41",
        key="how-many",
    ),
    Line("lena", "Four, and one of them is yours to keep.", answers="how-many", gestures=[("thomas", "🙏")]),
    Line(
        "sarah",
        "The Portuguese installation guide lacks page 14. Our reseller in Porto has translated it; the next edition "
        "carries their name.",
        "installers",
        thanks=["lena", "emil", "bruno"],
    ),
    Line(
        "driss",
        "Time zones: the Thursday call moves to 16:00 Berlin time, so that São Paulo and Montréal can join before "
        "lunch.",
        "installers",
        thanks=["bruno"],
    ),
    Line(
        "karim",
        "Veille : la nouvelle édition de la norme CEI 61850 précise la régulation décentralisée. Qui l’a déjà lue ?",
        "reseaux-intelligents",
        key="standard",
        thanks=["alice"],
    ),
    Line(
        "yuki",
        "I have. Chapter 9 is the interesting one; the timing table contradicts annex C, and the committee knows it.",
        answers="standard",
        thanks=["karim"],
    ),
    Line(
        "chloe",
        "À Nîmes jeudi pour le salon des réseaux : stand C14, avec un poste Cévennes en coupe. Venez le toucher.",
        visibility=Visibility.PUBLIC,
    ),
]

AT_AUBRAC = [
    Line(
        "bruno",
        "Quelqu’un a-t-il déjà remplacé un relais **MX-40** sans couper l’artère ? J’aimerais éviter une coupure "
        "dimanche.",
        "maintenance-reseau",
        key="relay",
    ),
    Line(
        "gaspard",
        "Oui, deux fois. Tu pontes par le jeu de barres B, tu vérifies le verrouillage, et seulement ensuite tu "
        "retires le relais. Je viens avec toi dimanche.",
        answers="relay",
        key="bridge",
        thanks=["bruno", "ines", "malo", "karim"],
    ),
    Line("bruno", "Alors c’est dit. Inès et Malo peuvent venir regarder ?", answers="bridge"),
    Line("gaspard", "C’est même pour ça que je viens.", answers="bridge", gestures=[("ines", "❤️"), ("malo", "👍")]),
    Line(
        "karim",
        "Mise à jour de la télégestion dans la nuit de mardi à mercredi : les courbes s’arrêtent dix minutes, les "
        "alarmes continuent par SMS.",
        "maintenance-reseau",
        thanks=["paul"],
    ),
    Line(
        "sophie",
        "Bienvenue à Inès et Malo, qui rejoignent l’exploitation de Mende. Leur parrain est Bruno ; dites-leur "
        "bonjour.",
        "vie-de-l-entreprise",
        key="newcomers",
        thanks=["bruno", "lucie", "gaspard", "yasmine"],
    ),
    Line("ines", "Merci pour l’accueil ! Deux jours ici et déjà trois casques à mon nom.", answers="newcomers"),
    Line("malo", "Et moi aucun. Bonjour quand même !", answers="newcomers", gestures=[("yasmine", "😄")]),
    Line(
        "gaspard",
        "Je pars en juin. D’ici là, un poste source par mois, raconté ici avec photos et pièges : ce que j’ai appris "
        "sans que ce soit écrit nulle part. On commence par Langogne.",
        "vie-de-l-entreprise",
        key="handover",
        thanks=["sophie", "bruno", "ines", "malo"],
    ),
    Line("sophie", "C’est exactement ce qu’il nous faut. Malo prend les notes, toi les virages.", answers="handover"),
    Line(
        "malo",
        "Idée : un QR code sur chaque coffret, qui mène à son historique ici. On perd une heure par panne à chercher.",
        "boite-a-idees",
        key="qr",
        thanks=["bruno", "yasmine", "thomas"],
    ),
    Line(
        "lucie",
        "**Retenue.** Essai sur vingt coffrets en Lozère ; Malo et Karim choisissent lesquels. Raison : coût faible, "
        "et tout le monde cherche la même chose.",
        answers="qr",
        gestures=[("malo", "🎉")],
    ),
    Line(
        "thomas",
        "Idée : remplacer la revue papier par une lettre mensuelle.",
        "boite-a-idees",
        key="paper",
    ),
    Line(
        "lucie",
        "**Pas retenue** pour l’instant : un tiers de nos retraités n’a pas de courriel et y tient. On en reparle dans "
        "un an.",
        answers="paper",
        thanks=["thomas"],
    ),
    Line(
        "henri",
        "Budget : la régulation locale passe devant le renouvellement des véhicules. À garder entre nous jusqu’au "
        "conseil.",
        "direction",
        thanks=["fatou"],
    ),
    Line(
        "henri",
        "Deux terrains possibles à Badaroux. Sophie, personne d’autre n’est au courant.",
        "demenagement-mende",
        key="land",
    ),
    Line("sophie", "Bien noté. Je prépare la liste des questions que l’équipe posera.", answers="land"),
    Line(
        "lucie",
        "Opération de communication de l’hiver : « La lumière revient avant vous ». Affiches, radio locale, et les "
        "équipes en photo. Tout le monde peut reprendre ce message.",
        "actualites",
        thanks=["henri", "yasmine"],
    ),
    Line(
        "yasmine",
        "Journée portes ouvertes au poste de Langogne, samedi de 10 h à 16 h. Chaussures fermées obligatoires, "
        "enfants bienvenus.",
        "actualites",
        thanks=["lucie"],
    ),
    Line(
        "odile",
        "Kestrel GmbH demande à se lier à nous : je compare les six mots avec Greta, au téléphone. Rien ne part d’ici "
        "tant qu’un espace ne nomme pas ce partenaire.",
    ),
]

AT_KESTREL = [
    Line(
        "jonas",
        "Firmware 4.2 is on the bench. Local regulation holds within 0.2 % over eight hours; the watchdog still barks "
        "once a night.",
        "engineering",
        key="firmware",
        thanks=["mira", "yuki"],
    ),
    Line(
        "paula",
        "Once a night is once too often. Nothing ships before it is understood.",
        answers="firmware",
        key="bark",
    ),
    Line(
        "yuki",
        "It is the daylight-saving table. I have a patch and a test that fails without it.",
        answers="bark",
        thanks=["jonas", "paula"],
    ),
    Line(
        "paula",
        "Yuki joins us from Kyoto for a year. Greta is the mentor for everything with a plug, I am for everything "
        "else.",
        "welcome",
        key="yuki",
        thanks=["greta", "sarah"],
    ),
    Line("yuki", "Thank you! First question: where is the good coffee?", answers="yuki", key="coffee"),
    Line(
        "greta",
        "Second floor, behind the spectrum analyser. Do not tell sales.",
        answers="coffee",
        gestures=[("yuki", "☕")],
    ),
    Line(
        "anton",
        "The MX-41 is approved for series production. Not a word outside before Lena’s plan says so.",
        "board",
        thanks=["lena"],
    ),
    Line(
        "sarah",
        "Kestrel opens its interfaces: the protocol of the MX series is documented, free of charge, for everybody.",
        "news",
        thanks=["anton", "lena"],
    ),
]

STORY = Story((AUBRAC, KESTREL), [*AT_AUBRAC, *AT_KESTREL, *PARTNERS, *CEVENNES])
