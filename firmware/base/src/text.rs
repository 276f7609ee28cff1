//! The sentences that a worker reads, in each language.

use crate::Code;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A worker's language. On the wire variants count from 0: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Chinese in simplified characters.
    #[serde(rename = "zh-Hans")]
    Chinese,
    /// Spanish.
    #[serde(rename = "es")]
    Spanish,
    /// German.
    #[serde(rename = "de")]
    German,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $key:ident: $en:literal, $zh:literal, $es:literal, $de:literal;)*) => {
        /// Names a sentence; `{0}`, `{1}`, … stand for a verdict's arguments. On the wire variants count from 0 in
        /// this order: append only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum TextKey { $($(#[$doc])* $key,)* }

        impl TextKey {
            /// Every key.
            pub const ALL: &[Self] = &[$(Self::$key),*];

            /// The sentence in `language`, its arguments still as `{n}`.
            pub const fn template(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$key, Language::English) => $en,
                    (Self::$key, Language::Chinese) => $zh,
                    (Self::$key, Language::Spanish) => $es,
                    (Self::$key, Language::German) => $de,)*
                }
            }
        }
    };
}

texts! {
    /// Quantity, item, location.
    Received: "Received {0} × {1} at {2}", "已收货 {0} × {1}，位置 {2}", "Recibido {0} × {1} en {2}", "{0} × {1} auf {2} angenommen";
    /// Quantity, item, location.
    Moved: "Moved {0} × {1} to {2}", "已移动 {0} × {1} 到 {2}", "Movido {0} × {1} a {2}", "{0} × {1} nach {2} umgelagert";
    /// Quantity, item, location, quantity booked before.
    FoundThenMoved: "Moved {0} × {1} to {2}. The book had only {3}: difference noted", "已移动 {0} × {1} 到 {2}。账面只有 {3}：已记录差异", "Movido {0} × {1} a {2}. El libro tenía solo {3}: diferencia anotada", "{0} × {1} nach {2} umgelagert. Im Buch waren nur {3}: Abweichung notiert";
    /// Quantity, item, location.
    Counted: "Count agrees: {0} × {1} at {2}", "盘点一致：{0} × {1}，位置 {2}", "Recuento correcto: {0} × {1} en {2}", "Zählung stimmt: {0} × {1} auf {2}";
    /// Quantity, item, location, quantity booked.
    CountDiffers: "Counted {0} × {1} at {2}, the book had {3}. Book corrected", "盘点 {0} × {1}，位置 {2}，账面 {3}。账面已更正", "Contado {0} × {1} en {2}, el libro tenía {3}. Libro corregido", "{0} × {1} auf {2} gezählt, im Buch {3}. Buch berichtigt";
    /// Item, location.
    Seen: "{0} is at {1}: confirmed", "{0} 在 {1}：已确认", "{0} está en {1}: confirmado", "{0} ist auf {1}: bestätigt";
    /// Item, location.
    DoubtSettled: "{0} is at {1}: doubt settled, thank you", "{0} 在 {1}：疑问已解决，谢谢", "{0} está en {1}: duda resuelta, gracias", "{0} ist auf {1}: Zweifel geklärt, danke";
    /// Quantity, item. Told by the scanner alone, before the edge has spoken.
    Kept: "Noted: {0} × {1}", "已记录：{0} × {1}", "Anotado: {0} × {1}", "Notiert: {0} × {1}";
    /// Quantity, item. As [`TextKey::Kept`], while there is no link.
    KeptOffline: "Noted offline: {0} × {1}", "离线已记录：{0} × {1}", "Anotado sin conexión: {0} × {1}", "Ohne Verbindung notiert: {0} × {1}";
    /// The code.
    UnknownCode: "{0} is not known here. Put it aside for the supervisor", "未知条码 {0}。请放到一边，交给主管", "{0} es desconocido. Apártelo para el supervisor", "{0} ist hier unbekannt. Für die Schichtleitung beiseitelegen";
    /// The code.
    UnknownLocation: "{0} is no location here. Scan a location label", "{0} 不是库位。请扫描库位标签", "{0} no es una ubicación. Escanee una etiqueta de ubicación", "{0} ist kein Lagerplatz. Platzetikett scannen";
    /// Item.
    SerialNeedsTag: "{0} is tracked one by one. Scan its tag or serial number", "{0} 按序列号管理。请扫描标签或序列号", "{0} se controla por unidad. Escanee su etiqueta o número de serie", "{0} wird einzeln geführt. Etikett oder Seriennummer scannen";
    /// Lowest, highest.
    QuantityOutOfRange: "Quantity must be {0} to {1}", "数量必须在 {0} 到 {1} 之间", "La cantidad debe ser de {0} a {1}", "Menge muss {0} bis {1} sein";
    /// The code.
    CheckDigit: "{0}: check digit is wrong. Scan again", "{0}：校验位错误。请重新扫描", "{0}: dígito de control incorrecto. Escanee de nuevo", "{0}: Prüfziffer falsch. Noch einmal scannen";
    /// The code.
    Unreadable: "{0} makes no sense as a GS1 code. Scan again", "{0} 不是有效的 GS1 条码。请重新扫描", "{0} no es un código GS1 válido. Escanee de nuevo", "{0} ergibt keinen GS1-Code. Noch einmal scannen";
    /// Item.
    ScanLocation: "{0}: now scan the location", "{0}：现在扫描库位", "{0}: ahora escanee la ubicación", "{0}: jetzt den Platz scannen";
    /// Location.
    ScanItem: "{0}: now scan the goods", "{0}：现在扫描货物", "{0}: ahora escanee la mercancía", "{0}: jetzt die Ware scannen";
    /// Scanner's memory is full.
    StoreFull: "Memory is full. Go where there is a connection, then scan again", "存储已满。请到有信号处再扫描", "Memoria llena. Vaya donde haya conexión y escanee de nuevo", "Speicher voll. Mit Verbindung noch einmal scannen";
    /// The edge can't record at the moment.
    KeepForLater: "Kept in the scanner: the edge can't record at the moment", "已保存在扫描器中：系统暂时无法记录", "Guardado en el escáner: el sistema no puede registrar ahora", "Im Scanner behalten: das System kann gerade nicht buchen";
    /// Task: item, location by the book, zone where it was read.
    CheckItem: "Please look for {0}: book says {1}, radio says {2}. Scan it where it is", "请查找 {0}：账面在 {1}，射频在 {2}。请在实际位置扫描", "Busque {0}: el libro dice {1}, la radio dice {2}. Escanéelo donde esté", "Bitte {0} suchen: Buch sagt {1}, Funk sagt {2}. Dort scannen, wo es ist";
    /// The intent's number again, with another content.
    RepeatDiffers: "Number {0} was used before for something else: {1} differs", "编号 {0} 已用于其他操作：{1} 不同", "El número {0} ya se usó para otra cosa: {1} difiere", "Nummer {0} wurde schon anders benutzt: {1} weicht ab";
    /// Item.
    HereAlready: "{0} was booked here already", "{0} 已登记在此处", "{0} ya estaba registrado aquí", "{0} war hier schon gebucht";
    /// Nothing is in hand.
    ScanAny: "Scan a location or goods", "请扫描库位或货物", "Escanee una ubicación o mercancía", "Platz oder Ware scannen";
    /// Quantity so far, item.
    Counting: "{0} × {1} so far. Go on scanning, or Enter when done", "已清点 {0} × {1}。继续扫描，完成请按确认", "{0} × {1} hasta ahora. Siga escaneando o pulse Intro", "Bisher {0} × {1}. Weiter scannen oder mit Eingabe abschließen";
    /// Location.
    SamePlace: "{0} is where it came from. Scan another location", "{0} 就是原库位。请扫描其他库位", "{0} es el mismo lugar. Escanee otra ubicación", "{0} ist derselbe Platz. Anderen Platz scannen";
    /// Item, where the book has it, when it was heard to go there.
    HeardSince: "{0}: noted, but the radio saw it go to {1} at {2} UTC, after your scan", "{0}：已记录，但射频在您扫描之后（{2} UTC）发现其到达 {1}", "{0}: anotado, pero la radio lo vio ir a {1} a las {2} UTC, después de su escaneo", "{0}: notiert, aber der Funk sah es um {2} UTC nach {1} gehen, nach Ihrem Scan";
    /// Item.
    LotNeeded: "{0} is kept by lots. Scan the code that names the lot", "{0} 按批次管理。请扫描含批号的条码", "{0} se controla por lotes. Escanee el código con el lote", "{0} wird nach Losen geführt. Code mit Losnummer scannen";
}

/// The sentence of `key` in `language` with its arguments put in; prints with `{}`.
pub struct Sentence<'a> {
    /// Which sentence.
    pub key: TextKey,
    /// In which language.
    pub language: Language,
    /// Arguments for `{0}`, `{1}`, …; a missing one prints as nothing.
    pub args: &'a [Code],
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.key.template(self.language);
        while let Some(open) = rest.find('{') {
            f.write_str(&rest[..open])?;
            // Templates are ours: a brace is always followed by one digit and a closing brace (tested below).
            let index = usize::from(rest.as_bytes()[open + 1] - b'0');
            f.write_str(self.args.get(index).map_or("", |arg| arg.as_str()))?;
            rest = &rest[open + 3..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const LANGUAGES: [Language; 4] = [Language::English, Language::Chinese, Language::Spanish, Language::German];

    #[test]
    fn every_template_is_well_formed_and_uses_the_same_arguments_in_each_language() {
        for &key in TextKey::ALL {
            let arguments = |language| {
                let template = key.template(language);
                let mut found = [false; 4];
                for (at, _) in template.match_indices('{') {
                    let tail = &template.as_bytes()[at + 1..];
                    assert!(matches!(tail, [b'0'..=b'3', b'}', ..]), "{key:?} {language:?}: {template}");
                    found[usize::from(tail[0] - b'0')] = true;
                }
                found
            };
            for language in LANGUAGES {
                assert_eq!(arguments(language), arguments(Language::English), "{key:?} {language:?}");
            }
        }
    }

    #[test]
    fn arguments_stand_where_the_language_puts_them() {
        let args =
            [crate::code("3").expect("short"), crate::code("MUG").expect("short"), crate::code("A-1").expect("short")];
        let say = |language| Sentence { key: TextKey::Received, language, args: &args }.to_string();
        assert_eq!(say(Language::English), "Received 3 × MUG at A-1");
        assert_eq!(say(Language::German), "3 × MUG auf A-1 angenommen");
    }
}
