//! One order: from a host to a certificate with its key.

use ingress::{Challenges, Offer};
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::{
    AcmeError, Challenge,
    error::words,
    limits::{POLL_FIRST, POLL_TIMEOUT},
};

const POLLING: RetryPolicy = RetryPolicy::new().initial_delay(POLL_FIRST).timeout(POLL_TIMEOUT);

/// Orders a certificate for one host; the key and the chain in PEM, one after the other.
pub(crate) async fn place(
    account: &Account,
    host: &str,
    challenge: Challenge,
    challenges: &Challenges,
) -> Result<String, AcmeError> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    // Answered until the order is decided.
    let offers = prove(&mut order, host, challenge, challenges).await?;
    let polled = order.poll_ready(&POLLING).await;
    drop(offers);
    if !matches!(polled, Ok(OrderStatus::Ready)) {
        return Err(match why_unproven(&mut order, challenge).await {
            Some(reason) => reason,
            None => polled.map_or_else(AcmeError::from, |status| {
                AcmeError::Nonsense(format!("the order is {status:?} without a reason"))
            }),
        });
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

/// Prepares the answers and says so to the server. An authorization that is valid from an earlier order needs none.
async fn prove(
    order: &mut Order,
    host: &str,
    wanted: Challenge,
    challenges: &Challenges,
) -> Result<Vec<Offer>, AcmeError> {
    let mut offers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let offered = offered(&authorization);
        let Some(mut challenge) = authorization.challenge(kind(wanted)) else {
            return Err(AcmeError::NotOffered { wanted, offered });
        };
        let proof = challenge.key_authorization();
        offers.push(match wanted {
            Challenge::Http01 => challenges.offer_request(host, &challenge.token, proof.as_str()),
            Challenge::TlsAlpn01 => challenges.offer_handshake(host, proof.digest().as_ref())?,
        });
        challenge.set_ready().await?;
    }
    Ok(offers)
}

/// What the server says of a validation that failed: the order itself does not always tell.
async fn why_unproven(order: &mut Order, challenge: Challenge) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let problem = state.challenges.iter().find_map(|tried| tried.error.as_ref());
        if let Some(problem) = problem {
            return Some(AcmeError::Unproven { challenge, detail: words(problem) });
        }
    }
    None
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn offered(authorization: &AuthorizationHandle<'_>) -> String {
    let known = [Challenge::Http01, Challenge::TlsAlpn01];
    let is_offered = |challenge: &Challenge| {
        authorization.challenges.iter().any(|offered| offered.r#type == kind(*challenge))
    };
    let names: Vec<&str> = known.into_iter().filter(is_offered).map(Challenge::name).collect();
    if names.is_empty() { "nothing that we can answer".to_owned() } else { names.join(", ") }
}
