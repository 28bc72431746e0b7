//! Examples for the help of commands that do not bring their own.

use clap::Command;

/// Words of the command, and its examples, a line each.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "leave",
        &["swarmctl leave", "swarmctl leave --force      also a manager; see its help first"],
    ),
    ("autolock", &["swarmctl autolock on", "swarmctl autolock off"]),
    ("unlock-key", &["swarmctl unlock-key -q", "swarmctl unlock-key --rotate"]),
    ("unlock", &["swarmctl unlock", "swarmctl unlock < key.txt"]),
    ("token", &["swarmctl token worker", "swarmctl token manager --rotate -q"]),
    (
        "context create",
        &[
            "swarmctl context create prod -H tcp://192.0.2.10:2376 --tlscacert ca.pem --token-file token",
            "swarmctl context create prod -H tcp://192.0.2.10:2376 --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem",
        ],
    ),
    ("context ls", &["swarmctl context ls --format '{{.Name}} {{.Host}}'"]),
    ("context inspect", &["swarmctl context inspect prod"]),
    ("context show", &["swarmctl context show"]),
    ("context use", &["swarmctl context use prod", "swarmctl context use default"]),
    ("context rm", &["swarmctl context rm --force prod"]),
    (
        "config",
        &[
            "swarmctl config -c compose.yml              what a Compose file means",
            "swarmctl config create site.conf ./site.conf",
            "swarmctl config ls",
        ],
    ),
    ("config ls", &["swarmctl config ls --filter label=team=web"]),
    (
        "config inspect",
        &["swarmctl config inspect site.conf", "swarmctl config inspect --data site.conf"],
    ),
    ("config rm", &["swarmctl config rm site.conf"]),
    ("secret ls", &["swarmctl secret ls", "swarmctl secret ls -q --filter name=db"]),
    ("secret inspect", &["swarmctl secret inspect db_password"]),
    ("secret rm", &["swarmctl secret rm db_password"]),
    ("network ls", &["swarmctl network ls --filter driver=overlay"]),
    (
        "network inspect",
        &[
            "swarmctl network inspect --verbose back",
            "swarmctl network inspect -f '{{.IPAM.Config.0.Subnet}}' back",
        ],
    ),
    ("network rm", &["swarmctl network rm back"]),
    ("volume ls", &["swarmctl volume ls -q"]),
    ("volume inspect", &["swarmctl volume inspect data"]),
    ("volume rm", &["swarmctl volume rm data"]),
    (
        "node ls",
        &[
            "swarmctl node ls",
            "swarmctl node ls --filter role=worker --format '{{.Hostname}} {{.Status}}'",
        ],
    ),
    (
        "node inspect",
        &["swarmctl node inspect self", "swarmctl node inspect -f '{{.Status.Addr}}' w1"],
    ),
    ("node ps", &["swarmctl node ps w1", "swarmctl node ps --running w1 w2"]),
    ("node promote", &["swarmctl node promote w1 w2"]),
    ("node demote", &["swarmctl node demote m3"]),
    ("node rm", &["swarmctl node rm w2", "swarmctl node rm --force w2      also while it is up"]),
    (
        "service ls",
        &["swarmctl service ls", "swarmctl service ls --filter label=tier=front --format json"],
    ),
    ("service ps", &["swarmctl service ps web", "swarmctl service ps --running --no-trunc web db"]),
    (
        "service inspect",
        &[
            "swarmctl service inspect web",
            "swarmctl service inspect -f '{{json .Endpoint.Ports}}' web",
        ],
    ),
    (
        "service scale",
        &["swarmctl service scale web=5", "swarmctl service scale web=5 api=3 --timeout 2m"],
    ),
    ("service rollback", &["swarmctl service rollback web"]),
    (
        "service logs",
        &["swarmctl service logs -f --tail 20 web", "swarmctl service logs --since 10m web"],
    ),
    ("service rm", &["swarmctl service rm web api"]),
    ("stack ls", &["swarmctl stack ls"]),
    ("stack services", &["swarmctl stack services shop"]),
    ("stack ps", &["swarmctl stack ps --running shop"]),
    (
        "stack history",
        &[
            "swarmctl stack history shop",
            "swarmctl stack history shop 3      what revision 3 asked for, as JSON",
        ],
    ),
    (
        "stack rollback",
        &[
            "swarmctl stack rollback shop             to the revision before the newest",
            "swarmctl stack rollback shop --to 3",
            "swarmctl stack rollback shop --to 3 --plan   what would change",
        ],
    ),
    ("stack rm", &["swarmctl stack rm shop"]),
    ("ps", &["swarmctl ps", "swarmctl ps --filter node=w1 --format '{{.Name}} {{.CurrentState}}'"]),
    ("logs", &["swarmctl logs -f web", "swarmctl logs --tail 50 -t web.2"]),
    ("job ls", &["swarmctl job ls"]),
    ("job rm", &["swarmctl job rm resize"]),
];

/// The command with them.
pub fn with_examples(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, above: &str) -> Command {
    command.mut_subcommands(|sub| {
        let words = format!("{above} {}", sub.get_name()).trim().to_owned();
        let known = EXAMPLES.iter().find(|(name, _)| *name == words);
        let sub = match known {
            Some((_, lines)) if sub.get_after_help().is_none() => {
                let title = if lines.len() == 1 { "Example" } else { "Examples" };
                sub.after_help(format!("{title}:\n  {}", lines.join("\n  ")))
            }
            _ => sub,
        };
        add(sub, &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, with its words.
    fn leaves(command: &Command, above: &str, found: &mut Vec<(String, bool)>) {
        for sub in command.get_subcommands().filter(|s| !s.is_hide_set()) {
            let words = format!("{above} {}", sub.get_name()).trim().to_owned();
            if sub.get_subcommands().next().is_some() {
                leaves(sub, &words, found);
            } else {
                let help = sub.get_after_help().or(sub.get_after_long_help());
                let shown = help.is_some_and(|help| help.to_string().contains("swarmctl "));
                found.push((words, shown));
            }
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        let mut found = Vec::new();
        leaves(&crate::command(), "", &mut found);
        // The lab's own help says how it is used.
        let without: Vec<&str> = found
            .iter()
            .filter(|(words, shown)| !shown && !words.starts_with("lab"))
            .map(|(words, _)| words.as_str())
            .collect();
        assert!(without.is_empty(), "no example: {}", without.join(", "));
        for (words, lines) in EXAMPLES {
            let known = found.iter().any(|(name, _)| name == words) || *words == "config";
            assert!(known, "there is no command {words}");
            assert!(lines.iter().all(|line| line.starts_with("swarmctl")), "{words}");
        }
    }
}
