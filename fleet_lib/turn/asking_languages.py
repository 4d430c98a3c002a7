"""The words of `asking_words.py` in other languages than English."""

# Questions that want a decision.
DECISIONS = (
    # German, Dutch, Swedish, Danish, Norwegian
    r"\b(?:soll|sollen|sollte|sollten|darf|dürfen|kann|können) (?:ich|wir|das|der|die|es)\b",
    (
        r"\b(?:möchtest|möchten|willst|wollen|magst|brauchst|hast|bist|kannst|könntest"
        r"|können|könnten|würdest|bevorzugst|bevorzugen|meinst|meinen) (?:du|sie|ihr)\b"
    ),
    r"\b(?:passt|reicht|ist|klingt|wäre) (?:das|dir|ihnen|es)\b",
    r"^\W*(?:welche|welchen|welches|welcher|einverstanden|wie soll|was soll|wo soll)",
    r"\b(?:zal|moet|mag|kan) ik\b|\b(?:wil|kun|kan|heb|bedoel) (?:je|jij|u)\b|\bakkoord\b",
    r"^\W*welke\b",
    r"\b(?:ska|kan|får|bör) jag\b|\b(?:vill|kan|har|menar) du\b|\b(?:skal|kan|må) jeg\b",
    r"\b(?:vil|kan|har) du\b|^\W*(?:vilken|vilket|hvilken|hvilket)\b",
    # French, Spanish, Portuguese, Italian
    (
        r"\b(?:veux|voulez|souhaites|souhaitez|préfères|préférez|peux|pouvez|pourrais"
        r"|pourriez|aimerais|aimeriez|as|avez|confirmes|confirmez)[- ](?:tu|vous)\b"
    ),
    (
        r"\b(?:tu|vous) (?:veux|voulez|préfères|préférez|souhaitez|souhaites|confirmes"
        r"|confirmez|valides|validez)\b"
    ),
    r"\bdois-je\b",
    r"\bje (?:continue|procède|lance|fais|peux|commence|passe|corrige|pousse|commite)",
    r"\bon (?:continue|fait|lance|part|passe)\b",
    r"\b(?:quel|quelle|quels|quelles|laquelle|lequel)\b|ça te (?:va|convient)",
    r"cela (?:te|vous) convient|d'accord|puis-je",
    (
        r"\b(?:quieres|quiere|deseas|desea|prefieres|prefiere|procedo|sigo|continúo|continuo"
        r"|debo|debería|puedo|podrías|puedes|te parece|le parece|lo hago|avanzo|empiezo|hago"
        r"|cuál|cuáles|estás de acuerdo|confirmas|tienes)\b"
    ),
    (
        r"\b(?:quer|queres|você quer|deseja|prefere|preferes|posso|devo|deveria|pode|poderia"
        r"|prossigo|continuo|sigo|qual|quais|confirma|concorda|faz sentido|vamos)\b"
    ),
    (
        r"\b(?:vuoi|vuole|volete|preferisci|preferisce|procedo|devo|posso|puoi|può|potresti"
        r"|continuo|quale|quali|va bene|confermi|sei d'accordo)\b"
    ),
    # Polish, Czech, Turkish, Romanian, Hungarian, Finnish
    (
        r"\b(?:czy|chcesz|chciałbyś|wolisz|mam|mogę|który|która|które|chceš|chcete|mám|mohu"
        r"|můžu|který|která|které)\b"
    ),
    (
        r"\b(?:ister misin|ister misiniz|istiyor musun|devam ed|edeyim mi|eyim mi|ayım mi"
        r"|ayım mı|hangi|uygun mu|onaylıyor)"
    ),
    r"\b(?:vrei|doriți|preferi|să continui|care)\b",
    r"\b(?:szeretnéd|akarod|folytassam|melyik|melyiket)\b",
    r"\b(?:haluatko|jatkanko|teenkö|kumpi|sopiiko)\b",
    r"\b(?:apakah|haruskah|mau|bolehkah|yang mana)\b|\b(?:bạn có|có muốn|tôi có nên|nên)\b",
)

# Questions that ask for a reason.
REASONS = (
    (
        r"^\W*(?:warum|wieso|weshalb|waarom|varför|hvorfor|pourquoi|¿?por qué|por que|perché"
        r"|dlaczego|proč|neden|niçin|mengapa|kenapa|tại sao|почему|зачем|чому|γιατί|לָמָה"
        r"|למה|لماذا|چرا|क्यों)\b"
    ),
    r"^\W*(?:为什么|為什麼|为何|なぜ|どうして|왜)",
)

# Questions that are only polite.
COURTESIES = (
    r"\bsonst noch\b|\bnoch etwas\b|\bnoch fragen\b|\bweitere (?:fragen|wünsche)\b",
    r"\bnog iets\b|\bnog vragen\b|\bverder nog\b|\bnågot (?:annat|mer|ytterligare)\b",
    r"\bnoe (?:annet|mer)\b|\bandet\?",
    r"\bautre chose\b|\bd'autres questions\b|\balgo más\b|\balguna otra\b|\balgo mais\b",
    r"\bmais alguma\b|\b(?:qualcos'|c'è |serve )?altro\?|\baltre domande\b",
    r"\bcoś jeszcze\b|\bješt?ě něco\b|\bještě něco\b|\bbaşka (?:bir|soru|sorunuz)",
    r"\baltceva\b|\bmég valami\b|\bjotain muuta\b|\bada (?:lagi|yang lain|pertanyaan)\b",
    r"\bcòn gì\b|\bgì (?:khác|nữa)\b",
    r"(?:что-нибудь|что-то|чем-нибудь|чем-то|вопросы) ещ[её]",
    r"ещ[её] (?:что|чем|вопрос|какие)|щось ще|ще щось|чимось ще|κάτι άλλο|άλλες ερωτήσεις",
    r"עוד משהו|משהו נוסף|شيء آخر|أي أسئلة|چیز دیگری|سوال دیگری|कुछ और|อะไรอีก|อะไรเพิ่ม",
    r"(?:还有|還有|其他|其它|别的|別的).{0,12}(?:吗|嗎|么|呢|什么|什麼|问题|問題|需要|帮)|还需要.{0,8}(?:帮|其他|别的|什么)",
    r"有什么.{0,4}(?:可以|能).{0,4}帮|(?:他|ほか|外)に(?:も)?(?:何か|ご|ある|質問|必要|お)|何か(?:他|ほか)",
    r"더 (?:필요|도와|궁금|추가로)|다른 (?:도움|필요|질문|것)",
)

# An offer or an invitation that leaves nothing open.
INVITATIONS = (
    (
        r"\b(?:sag|sagen sie|gib|lass).{0,40}\b(?:wenn|falls) (?:du|sie|noch|etwas|weitere"
        r"|fragen|was)\b.{0,40}\b(?:brauchst|brauchen|möchtest|möchten|hast|haben|fragen"
        r"|anders|änder)"
    ),
    r"\bmeld(?:e|en)\b|\blaat.{0,12}weten als\b|\bsäg till om\b",
    r"\bsi (?:tu|vous|besoin|nécessaire|quelque).{0,80}\b(?:n'hésite|dis|dites|fais|faites)",
    r"\bn'hésite|\bno dudes\b|\bno dude\b",
    (
        r"\bsi (?:necesitas|quieres|tienes|deseas|hay|prefieres).{0,80}\b(?:avísa|avisa|dime"
        r"|dímelo|házmelo|puedo)"
    ),
    r"\bavísame si (?:necesitas|quieres|tienes|hay|algo|deseas)",
    r"\bdime si (?:necesitas|quieres (?:algo|que (?:ajust|cambi|agreg))|tienes|hay|algo)",
    r"\bse (?:precisar|quiser|tiver|houver|desejar|algo).{0,80}\b(?:avise|diga|me|posso)",
    r"\b(?:avise|diga)(?:-me)? se (?:precisar|quiser|tiver|houver|algo)",
    r"\bse (?:vuoi|hai|serve|ti serve|qualcosa|desideri).{0,80}\b(?:dimmi|fammi|posso)",
    r"\bfammi sapere se (?:hai|vuoi|serve|c'è|qualcosa)|\bnon esitare\b",
    (
        r"если (?:нужно|надо|что|будут|появятся|хотите|хочешь|захоч|понадоб|потреб|возник"
        r"|есть).{0,80}"
    ),
    r"якщо (?:потрібно|щось|будуть|хоч).{0,80}|\bjeśli (?:chcesz|potrzeb|coś|masz).{0,80}",
    r"\bpokud (?:chce|potřeb|něco|máte).{0,80}",
    r"\beğer .{0,80}(?:istersen|isterseniz|olursa)|\b(?:istersen|isterseniz)\b",
    (
        r"(?:如有|下次|以后.{0,12}(?:要|想|有)|如果还|任何(?:问题|打不开)|如果(?:你|您)?(?:还|還)?(?:有|需要|想|要|发现|遇到"
        r"|觉得|希望)|若(?:有|需)|有任何|需要的话|有问题|有疑问|随时|隨時)"
    ),
    r"(?:ありましたら|あれば|必要であれば|必要なら|不明|ご希望|よろしければ|気軽|いつでも)|(?:있으시?면|필요하(?:시)?면|원하(?:시)?면|언제든)",
    r"إذا (?:كان|كنت|أردت|احتجت|رغبت)|αν (?:θέλεις|χρειάζ|θες|έχεις|κάτι)|यदि|अगर|หาก|ถ้า",
    r"nếu (?:bạn|cần|có|muốn)|jika (?:ada|anda|perlu|ingin|kamu)|kalau (?:ada|mau|perlu)",
)

# What a reader is to tell or to hand over.
TO_ME = (
    r"\b(?:dimmi|mandami|inviami|incollami|fammi|dime|avísame|envíame|mándame|pásame|dis-moi"
    r"|dites-moi|envoie-moi|montre-moi|me diga|me envie|me mande|avise-me)\b",
    r"\b(?:sag|schick|zeig|gib) (?:mir|bescheid)\b",
    r"(?:^|[\s,.])(?:скажи|скажите|пришли|пришлите|покажи|покажите|напиши|напишите)(?=[\s,.]|$)",
    r"教えて|送って|知らせて|알려|보내|말해",
)

# Requests that need no mark.
REQUESTS = (
    # To hand something over, which is the usual request where the reader follows instructions
    r"(?:发|發|传|傳|贴|貼|回|报|報|寄)(?:过来)?(?:给|給)?我(?!们|們)|(?:截图|截圖|截屏|拍照)(?:发|發|给|給|过来|過來)",
    r"(?:给|給)我(?:看看|看一下|看|就行|即可|吧)?(?=[，。,.!！\s]|$)",
    r"等(?:你|您).{0,30}(?:完成|好了?|确认|完|后|之后)[，, ]{0,2}(?:我|我们)(?:就|再|马上|立刻)",
    r"\b(?:scrivi|scrivimi|mandami|inviami|incollami|incolla qui|fammi vedere|mostrami)\b",
    (
        r"\b(?:env[ií]a|m[aá]nda|p[aá]sa|p[eé]ga|mu[eé]stra|mostra|cu[eé]nta|conta|comp[aá]rte"
        r"|comparti)me\b"
    ),
    r"\b(?:me (?:envie|mande|mostre)|envie-me|mostra-me|cole aqui)\b",
    r"\b(?:envoie|envoyez|montre|montrez|colle|collez|partage|partagez)-(?:moi|nous|le|la)\b",
    r"\b(?:schick|zeig|sende|poste) (?:mir|uns|hier)\b",
    (
        r"(?:^|[\s,.—–-])(?:скинь|скиньте|отправь|отправьте|вставь|вставьте|покажи"
        r"|покажите)(?=[\s,.]|$)"
    ),
    r"(?:見せて|スクリーンショットを(?:送|貼|共有)|캡처(?:해서)? ?(?:보내|올려))",
    # German, Dutch, Nordic
    (
        r"\bbitte (?:bestätig|wähl|teil|nenn|schick|antwort|sag|gib|geben sie|lass|entscheid"
        r"|prüf|führ|start|kopier|füg|mach|beschreib|schreib|zeig|gebt|klär|freigeben"
        r"|um (?:deine|ihre|freigabe|bestätigung|rückmeldung|antwort))"
    ),
    (
        r"\b(?:ich )?(?:warte|wartet|warten) (?:auf|bis) (?:dein|deine|deinen|ihre|ihren|ihr"
        r"|eure|freigabe|bestätigung|du|sie|rückmeldung|antwort)"
    ),
    (
        r"\bsag(?:t|en sie)? (?:mir )?(?:einfach )?(?:bescheid, (?:sobald|wenn du (?:fertig"
        r"|so ?weit|gespeichert|bereit)|ob|welche|was|wie)|mir|welche|ob|was|wie|kurz)"
    ),
    r"\b(?:sag|gib|geben sie|lass|lassen sie)\b.{0,30}\b(?:bescheid|rückmeldung|wissen)\b",
    r"\bantworte (?:mit|einfach)|\bdeine (?:entscheidung|wahl|freigabe)\b",
    r"\bbrauche (?:ich )?(?:deine|ihre|noch deine|noch ihre)",
    r"\bsobald (?:du|sie)\b.{0,100}\b(?:mache|fahre|starte|setze|kann|werde) ich\b",
    (
        r"\blaat (?:het )?(?:me|mij|ons)?.{0,20}weten (?:welke|wat|of|wanneer|zodra|hoe|waar"
        r"|als je (?:klaar|het))"
    ),
    r"\b(?:ik )?wacht op (?:je|jouw|uw|jullie)|\bbevestig\b|\bantwoord met\b",
    r"\bgeef (?:aan|me)\b|\bgraag (?:je|jouw|uw)\b|\blaat het me weten$",
    r"\bzodra je\b.{0,80}\blaat\b",
    r"\blåt mig veta (?:vilken|vad|när|om du vill att jag (?:ska )?(?:fort|kör)|hur)",
    r"\bsäg till när\b|\bjag väntar på (?:ditt|din)|\bbekräfta\b|\bsvara med\b",
    r"\blad mig vide\b|\bla meg vite\b|\bjeg venter på\b|\bbekreft\b|\bbekræft\b",
    # French, Spanish, Portuguese, Italian
    r"\b(?:dis|dites)-(?:moi|nous)\b|\b(?:fais|faites)-moi (?:savoir|signe)\b",
    r"\bprév(?:iens|enez)-moi\b|\btiens-moi au courant\b",
    r"\bconfirme[zr]?(?:-moi)?\b.{0,80}(?:avant|pour que|si|que|\.|$)",
    (
        r"\bmerci de (?:confirmer|me|préciser|valider|choisir|répondre|fournir|lancer"
        r"|relancer|coller)"
    ),
    r"\bveuillez\b|\bj'attends (?:ton|ta|tes|votre|vos|que)",
    r"\ben attente d(?:e|u|') ?(?:ton|ta|votre|vos|feu vert)",
    r"\b(?:réponds|répondez) (?:par|avec|moi|simplement)|\b(?:choisis|choisissez)\b",
    r"\bdonne[zs]?-moi\b|\benvoie[zs]?-moi\b",
    r"\bcolle[zs]?\b.{0,60}\b(?:ici|sortie|résultat)",
    r"\bj'ai besoin (?:que (?:tu|vous)|de (?:ton|votre|ta))",
    r"\bdime\b|\bdígame\b|\bdecime\b|\bv(?:uelve|uelva|olvé) a (?:pedir|avisar|decir)me",
    (
        r"\b(?:cuando|una vez|apenas|en cuanto|después de que)\b.{0,120}"
        r"\b(?:av[ií]s[aáe]me|dime|decime)\b"
    ),
    (
        r"\bav[ií]s(?:a|ame|e|eme|arme) (?:cuando|en cuanto|si (?:quieres que (?:siga"
        r"|continúe|proceda|avance)|procedo|sigo|funciona|te parece)|cuál|qué|cómo)"
    ),
    r"\bconf[ií]rma(?:me|lo)?\b|\bconfirme\b",
    (
        r"\bpor favor,? (?:confirma|indica|elige|envía|comparte|ejecuta|proporciona|dime"
        r"|revisa|responde|selecciona|escribe|pega|prueba|reinicia)"
    ),
    (
        r"\b(?:espero|esperando|a la espera de|quedo a la espera de|aguardo) (?:tu|su|tus|tu"
        r"|que (?:me|confirmes))"
    ),
    r"\bnecesito (?:que|tu|saber|su)\b|\b(?:responde|contesta|responda) (?:con|sí|no|a)\b",
    r"\b(?:elige|escoge|indica|indícame|pásame|mándame|envíame|pégame)\b",
    r"\bh[aá]zme(?:lo)? saber\b",
    r"\bcuando (?:lo )?(?:hayas|termines|tengas|esté|lo).{0,80}\b(?:avísa|avisa|dime)",
    (
        r"\b(?:me (?:diga|diz|avise|avisa|informe|confirme|confirma|fala|manda|envie|passe"
        r"|passa)|diga-me|diz-me|avise-me|avisa-me|confirme|confirma) (?!o funcionamento)"
    ),
    (
        r"\bpor favor,? (?:confirme|confirma|escolha|envie|informe|execute|responda|forneça"
        r"|verifique|compartilhe|indique|cole|rode)"
    ),
    (
        r"\b(?:aguardo|aguardando|à espera d[eao]|esperando) (?:a |o |pela |pelo "
        r"|por )?(?:sua|seu|tua|teu|você|confirmação|aprovação|resposta)"
    ),
    r"\bresponda (?:com|a)\b|\b(?:escolha|escolhe)\b",
    r"\bpreciso (?:que você|da sua|do seu|saber|que)\b",
    r"\bassim que (?:você|estiver|tiver|terminar)",
    r"\bdimmi\b|\bmi dica\b",
    r"\bfammi sapere (?:quando|quale|cosa|come|se (?:procedo|devo|va bene|posso|funziona))",
    r"\bconferma(?:mi)?\b(?:,| (?:se|che|per|prima|quale|e )|\.?$)",
    (
        r"\b(?:attendo|aspetto|in attesa d(?:i|el|ella)) (?:la |il |un |una )?(?:tua|tuo|sua"
        r"|suo|tue|conferma|risposta|via libera)"
    ),
    r"\brispondi (?:con|a)\b|\bscegli\b",
    r"\bper favore,? (?:conferma|indica|invia|esegui|scegli|rispondi)",
    r"\bho bisogno (?:che tu|della tua|del tuo)\b|\bavvisami\b|\bappena (?:hai|avrai)\b",
    # Slavic, Turkish, Hungarian, Romanian, Finnish, Greek
    (
        r"(?:^|[\s,.:;—–«(-])(?:подтверди(?:те)?|сообщи(?:те)?|скажи(?:те)?|напиши(?:те)?"
        r"|уточни(?:те)?|выбери(?:те)?|ответь(?:те)?|пришли(?:те)?|покажи(?:те)?"
        r"|укажи(?:те)?|дай(?:те)? (?:знать|мне|добро|команду|отмашку)"
        r"|запусти(?:те)? .{0,60}(?:пришли|покажи|скажи|сообщи|напиши)|реши(?:те)?|прошу"
        r"|проверь(?:те)? и|попробуй(?:те)? .{0,60}(?:скажи|напиши|сообщи))(?=[\s,.:;!?—–-]"
        r"|$)"
    ),
    r"жду (?:ваш|тво|подтвер|отв|реш|указ|коман|одобр|вас|тебя|от )",
    r"ожидаю (?:ваш|тво|подтвер|отв|реш|одобр)|нужн[оаы] (?:ваш|тво)",
    r"за (?:вами|тобой) (?:выбор|решение)|підтверд(?:и|іть)|повідом(?:те|ь)?|скаж(?:и|іть)",
    r"оберіть|вибери|чекаю (?:на )?(?:ваш|тво|підтвер)",
    r"\bdaj(?:cie)? (?:mi )?znać\b|\bpotwierdź\b|\bczekam na\b|\bodpowiedz\b|\bwybierz\b",
    r"\bpowiedz\b|\bnapisz\b|\bproszę (?:o|potwierd|wybr|pod)|\bdej(?:te)? (?:mi )?vědět\b",
    r"\bpotvrď(?:te)?\b|\bčekám na\b|\bvyber(?:te)?\b|\bodpověz|\břekni\b",
    r"\bprosím (?:potvr|vyber|o)",
    (
        r"\b(?:onaylayın|onayla|onaylar|bildirin|bildir|söyle|söyleyin|haber ver|haber verin"
        r"|yanıtla|yanıtlayın|seçin|belirtin|paylaşın|paylaş)\b"
    ),
    (
        r"(?:onayınızı|onayını|yanıtınızı|cevabını|cevabınızı|kararını|kararınızı"
        r"|talimat\w*) bekliyorum"
    ),
    r"\blütfen (?:onay|bildir|seç|söyle|payl|belirt|çalıştır|kontrol)",
    r"\b(?:erősítsd|erősítse) meg\b|\bszólj\b|\bvárom (?:a |az )",
    r"\b(?:confirmă|confirmați|spune-mi|spuneți-mi|anunță-mă|aștept)\b",
    r"\b(?:vahvista|kerro|ilmoita|odotan|valitse)\b",
    r"(?:^|[\s,.])(?:πες|πείτε) (?:μου)?|επιβεβαίωσ|επιβεβαιώστε|περιμένω (?:την|το|τη|να)",
    r"ενημέρωσ(?:ε|τε) με|ενημερώστε με|διάλεξε|διαλέξτε|επίλεξε|επιλέξτε|απάντησε",
    r"απαντήστε|παρακαλώ (?:επι|πες|πείτε|δώ|στεί|διά|απα|τρέξ)|στείλε μου|δώσε μου",
    # Chinese, Japanese, Korean
    (
        r"(?:请|請|麻烦|麻煩|烦请|劳烦)(?:您|你|先|帮忙|再|帮我|先行)*(?:确认|確認|选择|選擇|告诉|告訴|告知|提供|回复|回覆|答复|决定|決定"
        r"|批准|指示|说明一下|補充|补充|授权|授權|审批|審批|审核|審核|发送|發送|发给|粘贴|貼上|上传|上傳|输入|輸入|回答|给我|給我|指定|明确|澄清"
        r"|反馈|同意|检查.{0,30}(?:告诉|反馈|回复)|运行.{0,60}(?:告诉|贴|发|粘)|重启.{0,40}(?:告诉|再试)"
        r"|试.{0,30}(?:告诉|反馈))"
    ),
    (
        r"(?:等待|等|静候|靜候|待)(?:您|你|用户)(?:的)?.{0,6}(?:确认|確認|指示|回复|回覆|批准|决定|決定|反馈|答复|选择|授权|同意|审核"
        r"|审批|点头|开口|一句话|消息|意见|指令)"
    ),
    r"(?:告诉|告訴|通知)我|(?:需要|得)(?:您|你)(?:来|的|先|帮忙|提供|确认|決定|决定)",
    r"(?:由|看)(?:您|你)(?:来)?(?:决定|決定|选)|回复.{0,12}(?:即可|就|我)",
    r"(?:你|您)(?:来)?(?:定|决定|拍板|选)(?:一下|吧)?[。.!！]?$",
    r"(?:确认|同意|批准|可以|没问题)(?:后|之后|的话|了)?,?，?(?:我|就)(?:再|就|会|将|来|立即|马上|开始|继续)",
    (
        r"(?:教えて|確認して|ご確認|選んで|選択して|お選び|返信して|返答して|お知らせ|知らせて|指示して|指示を|決めて|実行して|試して|送って|貼り付けて"
        r"|貼って|共有して|入力して|お伝え|聞かせて|お聞かせ|回答して|ご回答|承認して|ご承認|提供して|ご提供|ご連絡|指定して|ご指定|言って|ご指示|ご判断"
        r"|ご検討|ご教示|お願い|提示して|起動して)(?:ください|下さい|もらえ|いただけ|いただき|頂け|くださいませ|します|致します|いたします|ね|。|$)"
    ),
    r"(?:お待ちして|待って|待ちます|お待ちします|待機して)|(?:承認|確認|指示|返答|返信|回答|ご判断|判断|許可|go|ok)(?:待ち|を待)",
    r"(?:決まったら|よければ|良ければ|問題なければ|ok ?なら).{0,40}(?:ください|進め|始め|着手|実装|します)",
    (
        r"(?:알려|확인해|선택해|답변해|답해|말씀해|결정해|골라|보내|공유해|입력해|지정해|승인해|허가해|붙여넣어|제공해|실행해|말해|판단해|회신해"
        r"|정해)\s?(?:주세요|주십시오|줘|주시면|주실|주시기|달라)"
    ),
    r"(?:승인|확인|답변|지시|결정|응답|선택|입력|회신)(?:을|를)?\s?(?:기다리|대기|바랍니다|부탁|기다립)|(?:기다리겠|기다릴게|기다립니다)",
    r"부탁(?:드립|해)",
    # Arabic, Hebrew, Persian, Hindi, Thai, Vietnamese, Indonesian
    r"أخبرني|أخبرنا|أعلمني",
    r"يرجى (?:ال)?(?:تأكيد|تزويد|اختيار|إرسال|تحديد|الرد|إخبار|تشغيل|مراجعة|الموافقة)",
    r"(?:ال)?رجاء(?:ً)? (?:ال)?(?:تأكيد|اختيار|أكد|إرسال|تحديد|الرد|تشغيل)|من فضلك",
    r"(?:ب|في )?انتظار(?:ك| (?:رد|موافق|تأكيد|قرار|تعليمات))|أنتظر|تأكيدك|موافقتك",
    r"אנא (?:אשר|בחר|שלח|ספק|הגד|ציין)|תגיד לי|תאשר|אשר(?:י)? לי|ממתין ל|מחכה ל|לطفا|لطفاً",
    r"لطفا|به من بگو|اطلاع (?:دهید|بده)|منتظر|تأیید کن",
    r"कृपया .{0,60}(?:बताएं|बताइए|पुष्टि|चुनें|भेजें|दें|करें|जवाब)|मुझे बता|पुष्टि कर",
    r"(?:आपकी|आपके) .{0,30}(?:प्रतीक्षा|इंतज़ार|इंतजार)",
    r"(?:กรุณา|โปรด|ช่วย)(?:ยืนยัน|แจ้ง|เลือก|บอก|ส่ง|ระบุ|ตอบ|รัน|อนุมัติ)",
    r"บอก(?:ผม|ฉัน|หน่อย|เรา)|รอ(?:การ)?(?:ยืนยัน|อนุมัติ|คำตอบ|คุณ)",
    (
        r"(?:vui lòng|xin|hãy|làm ơn) (?:xác nhận|cho|chọn|gửi|cung cấp|trả lời|chạy"
        r"|kiểm tra và|phê duyệt)"
    ),
    r"cho (?:tôi|mình|em) biết|(?:đang )?chờ (?:bạn|xác nhận|phản hồi|anh|chị)",
    (
        r"(?:mohon|tolong|silakan|harap) (?:konfirmasi|pilih|beri|kirim|berikan|jawab"
        r"|tentukan|jalankan|balas|kabari|sebutkan|bagikan)"
    ),
    r"(?:beri ?tahu|kabari|katakan|kasih tahu) (?:saya|aku)",
    (
        r"(?:menunggu|tunggu) (?:konfirmasi|persetujuan|jawaban|keputusan|arahan|instruksi"
        r"|respon)"
    ),
)

# Questions without a question mark.
UNMARKED = (
    (
        r"(?:吗|嗎|么|呢|吧|好不好|行不行|对不对|可以不|没有)\s*[。.!！~…]*$(?<!什么)(?<!怎么)(?<!多么)(?<!这么)(?<!那么)(?<"
        r"!要么)(?<!没有)(?<!吧)"
    ),
    (
        r"^(?:那|那么|另外|接下来|所以|，|,)*(?:要不要|是否(?:需要|继续|要|可以|现在|同意|采用|按|应该)|需不需要|需要我|可否|能否"
        r"|能不能).{0,80}[。.!！]*$"
    ),
    (
        r"(?:です|ます|でしょう|ましょう|ません|ました|でいい|ていい|良い|よい|よろしい|いかがです|どうします|どれに|どちらに"
        r"|のでしょう)か\s*[。.!！…]*$(?<!かどうか。)"
    ),
    r"(?:しよう|しましょう)か[。.]*$|どうする[。.]*$",
    r"(?:까요|나요|습니까|을까|할까|ㄹ까|인가요|는지요|건가요)\s*[.。!…]*$",
    r"(?:ไหม|มั้ย|หรือไม่|หรือเปล่า|หรือยัง)(?:ครับ|คะ|ค่ะ|นะ)?\s*[.!]*$",
    r"^\s*(?:هل|آیا)\s.{2,160}$",
)
